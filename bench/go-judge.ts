import { Agent, request } from 'node:http';
import { json } from 'node:stream/consumers';
import { z } from 'zod';
import { runnerFolder } from '../src/sandbox/languages.ts';
import type { Contender, Outcome } from './contenders.ts';
import { environment } from './host.ts';
import { limits, type Program } from './programs.ts';

const Results = z
  .array(z.object({ status: z.string(), exitStatus: z.number().int(), files: z.record(z.string(), z.string()).default({}) }))
  .length(1);

/** Where its Node may be mounted, before what the system has. */
const path = `${runnerFolder}/bin:/usr/local/bin:/usr/bin:/bin`;

/** A running go-judge (github.com/criyle/go-judge), asked over its REST API on one kept-alive connection per job in flight. */
export class GoJudge {
  readonly #origin: string;
  readonly #agent = new Agent({ keepAlive: true });
  /** go-judge does not search a PATH: name → absolute path inside its sandbox. */
  readonly #places = new Map<string, string>();
  #hasRunner = false;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /**
   * Finds its interpreters, and whether this project's runner is mounted there.
   *
   * @throws Error where it does not answer, or not as go-judge.
   */
  async open(): Promise<{ readonly versions: string }> {
    for (const name of ['true', 'node', 'python3']) {
      const { stdout } = await this.#run(['/bin/sh', '-c', `command -v ${name}`], []);
      if (stdout.trim() !== '') this.#places.set(name, stdout.trim());
    }
    this.#hasRunner = (await this.#run(['/bin/sh', '-c', `test -f ${runnerFolder}/run-tests.mjs`], [])).exitCode === 0;
    const node = this.#places.get('node');
    const python = this.#places.get('python3');
    const node24 = node === undefined ? 'no Node' : `Node ${(await this.#run([node, '--version'], [])).stdout.trim()}`;
    const python3 = python === undefined ? 'no Python' : (await this.#run([python, '--version'], [])).stdout.trim();
    return { versions: `${node24}, ${python3}` };
  }

  contender(): Contender {
    const run = async (program: Program) => {
      const [name, ...args] = program.argv;
      return this.#run([this.#places.get(name) ?? name, ...args], program.files, program.hasReport);
    };
    return {
      name: 'goJudge',
      method: `go-judge at ${this.#origin}, POST /run; an untimed run comes just before each timed one, as it slows down in pauses`,
      can: ({ argv: [name], hasReport }) => this.#places.has(name) && (!hasReport || this.#hasRunner),
      prepare: async (program) => void (await run(program)),
      run,
    };
  }

  close(): void {
    this.#agent.destroy();
  }

  async #run(args: readonly string[], files: Program['files'], hasReport = false): Promise<Outcome> {
    const max = limits.outputBytes;
    const command = {
      args,
      env: [`PATH=${path}`, ...Object.entries(environment).map(([key, value]) => `${key}=${value}`)],
      files: [{ content: '' }, { name: 'stdout', max }, { name: 'stderr', max }, ...(hasReport ? [{ name: 'report', max }] : [])],
      cpuLimit: limits.cpuTimeMs * 1e6,
      clockLimit: limits.wallTimeMs * 1e6,
      memoryLimit: limits.memoryBytes,
      procLimit: limits.processes,
      copyIn: Object.fromEntries(files.map((file) => [file.path, { content: file.content.toString() }])),
    };
    const [result] = Results.parse(await this.#post('/run', { cmd: [command] }));
    if (result === undefined) throw new Error('go-judge gave no result');
    const { stdout = '', stderr = '' } = result.files;
    return { exitCode: result.exitStatus, stdout, stderr: stderr || result.status };
  }

  async #post(route: string, body: object): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const sent = request(
      new URL(route, this.#origin),
      { method: 'POST', agent: this.#agent, headers: { 'content-type': 'application/json' } },
      (answer) => {
        if (answer.statusCode === 200) json(answer).then(resolve, reject);
        else reject(new Error(`go-judge answers ${answer.statusCode}`));
      },
    );
    sent.once('error', reject);
    sent.end(JSON.stringify(body));
    return promise;
  }
}
