import { activityInfo, heartbeat } from '@temporalio/activity';
import { SandboxError } from '../sandbox/sandbox.ts';

/** How often the judge shows that it lives; cancellation reaches it with the answer. */
const heartbeatIntervalMs = 2_000;

/** What the heartbeats of a judging carry to its next attempt, wherever that is made. */
interface Beat {
  /** How often the sandbox had passing trouble with it so far. */
  readonly sandboxTroubles: number;
  /** What it is at, for Temporal's web UI. */
  readonly run: string | null;
}

/** The sandbox's passing trouble with one judging. */
export class SandboxTrouble extends Error {
  /** 1, 2, … of this judging, in whichever of its attempts; those that failed for another reason do not count. */
  readonly count: number;

  constructor(cause: SandboxError, count: number) {
    super(cause.message, { cause });
    this.name = 'SandboxTrouble';
    this.count = count;
  }
}

/**
 * Does the work of an activity while it beats. The sandbox's passing trouble is counted in the heartbeats, which Temporal hands to the next
 * attempt: Temporal's own count would mix it with attempts that failed because PostgreSQL or the api was away, and a retry within the
 * activity would keep the job on a host whose engine is gone.
 *
 * @param work gets a function that shows in the heartbeat which run is being made.
 * @throws SandboxTrouble in place of a SandboxError that is transient; else what `work` throws.
 */
export async function whileBeating<T>(work: (show: (run: string) => void) => Promise<T>): Promise<T> {
  const before = activityInfo().heartbeatDetails as Partial<Beat> | undefined;
  let state: Beat = { sandboxTroubles: before?.sandboxTroubles ?? 0, run: null };
  const beat = () => heartbeat(state);
  const show = (run: string) => {
    state = { ...state, run };
    beat();
  };
  const interval = setInterval(beat, heartbeatIntervalMs);
  try {
    return await work(show);
  } catch (error) {
    if (!(error instanceof SandboxError) || !error.transient) throw error;
    state = { ...state, sandboxTroubles: state.sandboxTroubles + 1 };
    beat();
    throw new SandboxTrouble(error, state.sandboxTroubles);
  } finally {
    clearInterval(interval);
  }
}
