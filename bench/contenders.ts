import type { Program } from './programs.ts';

/** What one run gave. */
export interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  /** For the message where it went wrong. */
  readonly stderr: string;
}

export const contenderNames = [
  'bare',
  'bubblewrap',
  'dockerRun',
  'goJudge',
  'atelierBubblewrap',
  'atelier',
  'atelierPrebooted',
] as const;
export type ContenderName = (typeof contenderNames)[number];

/** One way to run a program. What is timed is `run`, from the call until its outcome is known. */
export interface Contender {
  readonly name: ContenderName;
  /** How it runs a program, in a line. */
  readonly method: string;
  can(program: Program): boolean;
  /** Called before each run, untimed: whatever it takes to find it at its best. */
  prepare?(program: Program): Promise<void>;
  run(program: Program): Promise<Outcome>;
}

/** @throws Error where a run did not do the work. */
export function checkOutcome(contender: string, program: Program, { exitCode, stdout, stderr }: Outcome): void {
  if (exitCode === 0 && program.output.test(stdout)) return;
  const said = `${stdout}\n${stderr}`.trim().slice(-2_000);
  throw new Error(`${contender} did not run ${program.name} rightly: exit code ${exitCode}\n${said}`);
}
