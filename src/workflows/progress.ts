import {
  ActivityFailure,
  ApplicationFailure,
  condition,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { Conclusion, ParkedClass, SubmissionStage } from '../domain/submissions.ts';
import { checksStarted, parkedResolved, resolveParked, searchAttributes, submissionState } from './contract.ts';
import { refusalFailure } from './refusals.ts';
import { enterStage, startedFlow } from './steps.ts';

/** Shows the stage to admins, and parks the submission while our own trouble lasts. */
export function trackProgress(submissionId: string) {
  let stage: SubmissionStage = 'QUEUED';
  let parkedReason: string | null = null;
  let resolution: 'redrive' | 'close' | null = null;

  setHandler(submissionState, () => ({ stage, parkedReason }));
  setHandler(parkedResolved, (request) => {
    if (stage === 'PARKED' && (request?.action === 'redrive' || request?.action === 'close')) resolution = request.action;
    else log.warn('ignored parkedResolved', { stage });
  });

  setHandler(
    resolveParked,
    ({ action }) => {
      resolution = action;
    },
    {
      validator: (request) => {
        const isAction = request?.action === 'redrive' || request?.action === 'close';
        if (!isAction) throw refusalFailure({ kind: 'validation', message: 'action is redrive or close.' });
        if (stage !== 'PARKED') throw refusalFailure({ kind: 'invalid-state', message: 'This submission is not parked.' });
      },
    },
  );

  setHandler(checksStarted, () => {
    if (stage === 'QUEUED') show('CHECKING', 'the checks run');
  });

  function show(next: SubmissionStage, details: string): void {
    stage = next;
    upsertSearchAttributes([{ key: searchAttributes.submissionStatus, value: next }]);
    explain(details);
  }

  function explain(details: string): void {
    setCurrentDetails(`**${stage}** — ${details}`);
  }

  /**
   * Runs the process; where it fails for good it is our trouble: the submission waits for an admin's word. A redrive runs all of it
   * again: what was done before is found done.
   */
  async function parkedOnTrouble(process: () => Promise<Conclusion>): Promise<Conclusion> {
    for (;;) {
      try {
        return await process();
      } catch (error) {
        if (!(error instanceof ActivityFailure) || isCancellation(error)) throw error;
        parkedReason = error.cause?.message ?? error.message;
        resolution = null;
        show('PARKED', `our own trouble: ${parkedReason}. Signal parkedResolved {"action": "redrive"} or {"action": "close"}.`);
        await enterStage({ submissionId, stage: 'PARKED', parkedReason, parkedClass: parkedClassOf(error) });
        await condition(() => resolution !== null);
        parkedReason = null;
        if (resolution === 'close') return 'closed-by-admin';
        await enterStage({ submissionId, stage: 'QUEUED' });
        show('QUEUED', 'waits for the checks again');
      }
    }
  }

  // Today's runs are started with the attribute.
  if (startedFlow() >= 2) explain('waits for the checks');
  else show('QUEUED', 'waits for the checks');
  return { show, parkedOnTrouble };
}

/** Whether trying again may help: as the failed step says, else whether it was tried again by itself. */
function parkedClassOf({ cause }: ActivityFailure): ParkedClass {
  if (!(cause instanceof ApplicationFailure)) return 'transient';
  const [details] = (cause.details ?? []) as ({ parkedClass?: ParkedClass } | undefined)[];
  return details?.parkedClass ?? (cause.nonRetryable ? 'permanent' : 'transient');
}
