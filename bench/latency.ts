import { checkOutcome, type Contender, type ContenderName } from './contenders.ts';
import type { Quiet } from './machine.ts';
import type { Program } from './programs.ts';
import { rotated, type Summary, summarise } from './statistics.ts';

/** The first rounds fill caches and pools; they are run and thrown away. */
const warmUpRounds = 2;

/** In ms, by program and contender. */
export type Latencies = Readonly<Partial<Record<Program['name'], Readonly<Partial<Record<ContenderName, Summary>>>>>>;

interface LatencyPlan {
  readonly programs: readonly Program[];
  readonly contenders: readonly Contender[];
  /** Of each pair of program and contender, after the warm-up. */
  readonly rounds: number;
  readonly quiet: Quiet;
  /** Rounds below 0 are the warm-up. */
  readonly onRound: (round: number, rounds: number) => void;
}

/**
 * Times single runs in interleaved rounds: every round takes each program with each contender once, so that whatever the machine does
 * meanwhile meets all of them alike. Nothing else of ours runs at that time.
 */
export async function measureLatencies(plan: LatencyPlan): Promise<Latencies> {
  const { programs, contenders, rounds, quiet, onRound } = plan;
  const pairs = programs.flatMap((program) =>
    contenders
      .filter((contender) => contender.can(program))
      .map((contender) => ({ program, contender, samples: [] as number[] })),
  );
  for (let round = -warmUpRounds; round < rounds; round += 1) {
    onRound(round, rounds);
    for (const { program, contender, samples } of rotated(pairs, round + warmUpRounds)) {
      await quiet.wait();
      await contender.prepare?.(program);
      const startedAt = performance.now();
      const outcome = await contender.run(program);
      const elapsedMs = performance.now() - startedAt;
      checkOutcome(contender.name, program, outcome);
      if (round >= 0) samples.push(elapsedMs);
    }
  }
  const latencies: Partial<Record<Program['name'], Partial<Record<ContenderName, Summary>>>> = {};
  for (const { program, contender, samples } of pairs) {
    (latencies[program.name] ??= {})[contender.name] = summarise(samples);
  }
  return latencies;
}
