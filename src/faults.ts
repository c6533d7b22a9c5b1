import { AsyncLocalStorage } from 'node:async_hooks';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import type { Options } from '@mikro-orm/postgresql';
import type { Config } from './config.ts';
import type { Mailer } from './mail/mailer.ts';
import type { Sandbox } from './sandbox/sandbox.ts';

/**
 * Crash hooks for the tests of what survives a crash (docs/chaos.md); without the setting FAULT, which production refuses, they are not
 * there at all. They are put around dependencies where a process is composed: no service knows of them.
 */

/** Where a process can be made to die, in the order in which a submission comes by. */
export const faultSteps = [
  // The api's: the request to submit, and its answer.
  'submit',
  'respond',
  'relay-start',
  'fetch-source',
  'clone',
  'container-create',
  'container-start',
  'container-wait',
  'collect',
  'record-ci',
  'await-review',
  'decide-handler',
  'apply-tx',
  'reverse-xp',
  'enqueue-mail',
  'send-mail',
  'close',
] as const;
export type FaultStep = (typeof faultSteps)[number];

/** `after-effect`: all is written, nothing committed. `after-commit`: it is done, and nobody has heard of it. */
export const faultPoints = ['before', 'after-effect', 'after-commit'] as const;
export type FaultPoint = (typeof faultPoints)[number];

/** Who suffers: this process by SIGKILL or, as a zombie, by SIGSTOP; or it waits at the point while the test ends a server. */
export const faultVictims = ['worker', 'zombie', 'postgres', 'temporal'] as const;
export type FaultVictim = (typeof faultVictims)[number];

/** The steps whose effect is one transaction of their own; the others have their effect and its commit at once. */
const transactional: ReadonlySet<FaultStep> = new Set<FaultStep>([
  'submit',
  'record-ci',
  'await-review',
  'apply-tx',
  'reverse-xp',
  'close',
]);

/** How long a process waits at a point for a server's end, in ms: then the test has gone wrong, and the process goes on. */
const maxWaitMs = 30_000;

interface Fault {
  readonly step: FaultStep;
  readonly point: FaultPoint;
  readonly victim: FaultVictim;
}

/** FAULT in one line: `step:point[:victim]`, several with commas between them. @throws RangeError for what is none. */
export function parseFaults(text: string): readonly Fault[] {
  return text.split(',').map((entry) => {
    const [step, point, victim = 'worker', more] = entry.split(':');
    const fault = {
      step: faultSteps.find((known) => known === step),
      point: faultPoints.find((known) => known === point),
      victim: faultVictims.find((known) => known === victim),
    };
    if (fault.step === undefined || fault.point === undefined || fault.victim === undefined || more !== undefined) {
      throw new RangeError(`"${entry}" is no fault: step:point[:victim]`);
    }
    return fault as Fault;
  });
}

/** The file in which a fault notes that it has struck, so that it strikes once and the next process goes on. */
export const faultMarker = (dataFolder: string, { step, point, victim }: Fault) =>
  join(dataFolder, 'faults', `${step}.${point}.${victim}`);

/** The file by which the test lets a waiting process go on. */
export const faultRelease = (marker: string) => `${marker}.go`;

/** What composition roots put around their dependencies. */
export interface Faults {
  /** For `openOrm`: hears of commits. */
  readonly orm: Pick<Options, 'subscribers'>;
  /** Each of the named methods (or activities) is a step. */
  around<M extends object>(methods: M, steps: Partial<Record<keyof M, FaultStep>>): M;
  /** A judging's steps from the clone to the stored result; around its activity as well, by `{ judgeSubmission: 'clone' }`. */
  sandbox(sandbox: Sandbox): Sandbox;
  mailer(mailer: Mailer): Mailer;
  /** The api's own two steps. */
  requests(listener: RequestListener): RequestListener;
}

const noFaults: Faults = {
  orm: {},
  around: (methods) => methods,
  sandbox: (sandbox) => sandbox,
  mailer: (mailer) => mailer,
  requests: (listener) => listener,
};

/** The step at which a chain of calls is. */
interface Position {
  step: FaultStep;
}

/** The faults that this process's configuration asks for: none, unless a test started it. */
export function openFaults({ FAULT, ATELIER_DATA }: Pick<Config, 'FAULT' | 'ATELIER_DATA'>): Faults {
  if (FAULT === undefined) return noFaults;
  const faults = parseFaults(FAULT);
  const position = new AsyncLocalStorage<Position>();
  mkdirSync(join(ATELIER_DATA, 'faults'), { recursive: true });

  function reach(step: FaultStep, point: FaultPoint): void {
    for (const fault of faults) {
      if (fault.step === step && fault.point === point && isFirst(fault)) strike(fault);
    }
  }

  /** The marker is made before the stroke, and made once: whoever makes it has the fault for itself. */
  function isFirst(fault: Fault): boolean {
    try {
      writeFileSync(faultMarker(ATELIER_DATA, fault), `${process.pid}`, { flag: 'wx' });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }

  function strike(fault: Fault): void {
    if (fault.victim === 'worker') process.kill(process.pid, 'SIGKILL');
    else if (fault.victim === 'zombie') process.kill(process.pid, 'SIGSTOP');
    // Nothing of this process goes on meanwhile: the point is held exactly.
    else waitSynchronously(() => existsSync(faultRelease(faultMarker(ATELIER_DATA, fault))));
  }

  async function inStep<T>(step: FaultStep, run: () => Promise<T>): Promise<T> {
    const here: Position = { step };
    return position.run(here, async () => {
      reach(step, 'before');
      const result = await run();
      if (!transactional.has(here.step)) reach(here.step, 'after-effect');
      reach(here.step, 'after-commit');
      return result;
    });
  }

  return {
    orm: {
      subscribers: [
        {
          beforeTransactionCommit() {
            const here = position.getStore();
            if (here !== undefined && transactional.has(here.step)) reach(here.step, 'after-effect');
          },
          afterTransactionCommit() {
            const here = position.getStore();
            if (here !== undefined && transactional.has(here.step)) reach(here.step, 'after-commit');
          },
        },
      ],
    },

    around<M extends object>(methods: M, steps: Partial<Record<keyof M, FaultStep>>): M {
      const wrapped = Object.entries(methods).map(([name, method]: [string, (...args: unknown[]) => Promise<unknown>]) => {
        const step = steps[name as keyof M];
        return [name, step === undefined ? method : (...args: unknown[]) => inStep(step, () => method(...args))];
      });
      return Object.fromEntries(wrapped) as M;
    },

    sandbox(sandbox) {
      return {
        get kind() {
          return sandbox.kind;
        },
        get identity() {
          return sandbox.identity;
        },
        get languages() {
          return sandbox.languages;
        },
        reap: (now) => sandbox.reap(now),
        close: () => sandbox.close(),
        async run(job, options) {
          const here = position.getStore();
          const enter = (step: FaultStep) => {
            if (here !== undefined) here.step = step;
          };
          reach('clone', 'after-effect');
          reach('clone', 'after-commit');
          enter('container-create');
          reach('container-create', 'before');
          let runNo = 0;
          const running = sandbox.run(job, {
            ...options,
            onRunStart(name) {
              runNo += 1;
              if (runNo === 1) {
                // The agent inside answers: the sandbox is made and has started.
                reach('container-create', 'after-commit');
                reach('container-start', 'before');
                options.onRunStart?.(name);
                enter('container-wait');
                // Its first process is being started; it runs some hundred milliseconds.
                setImmediate(() => reach('container-start', 'after-effect'));
                setTimeout(() => reach('container-start', 'after-commit'), 20);
                return;
              }
              if (runNo === 2) reach('container-wait', 'before');
              if (runNo === 3) reach('container-wait', 'after-effect');
              options.onRunStart?.(name);
            },
          });
          // The engine, or bubblewrap, has been asked and has not answered.
          setTimeout(() => reach('container-create', 'after-effect'), 5);
          try {
            const results = await running;
            reach('container-wait', 'after-commit');
            enter('collect');
            for (const point of faultPoints) reach('collect', point);
            enter('record-ci');
            reach('record-ci', 'before');
            return results;
          } catch (error) {
            enter('clone');
            throw error;
          }
        },
      };
    },

    mailer(mailer) {
      return {
        async send(mail) {
          await mailer.send(mail);
          reach('send-mail', 'after-effect');
        },
        close: () => mailer.close(),
      };
    },

    requests: (listener) => (request, response) => {
      const isSubmit = request.method === 'POST' && (request.url ?? '').endsWith('/submit');
      if (!isSubmit) return listener(request, response);
      const end = response.end.bind(response);
      response.end = ((...args: Parameters<typeof end>) => {
        reach('respond', 'before');
        const ended = end(...args);
        reach('respond', 'after-effect');
        setImmediate(() => reach('respond', 'after-commit'));
        return ended;
      }) as typeof response.end;
      return position.run({ step: 'submit' }, () => {
        reach('submit', 'before');
        listener(request, response);
      });
    },
  };
}

function waitSynchronously(isOver: () => boolean): void {
  const deadline = Date.now() + maxWaitMs;
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  while (!isOver() && Date.now() < deadline) Atomics.wait(sleeper, 0, 0, 10);
}
