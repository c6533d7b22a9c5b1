#!/usr/bin/env node
/** `npm start`: installs what is missing, then runs the whole academy (src/main.ts) until it is told to stop. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureInstalled, exitWith, projectFolder, Refusal, runProgram, say } from './bootstrap.js';

const help = `npm start -- [options]

  --port N        port of the academy (or PORT; default 3000)
  --host H        address it listens on (or HOST; default 127.0.0.1)
  --data DIR      folder that keeps everything (or ATELIER_DATA; default .atelier in this project)
  --no-install    never installs anything with the machine's package manager
  --help

DATABASE_URL or ATELIER_DATABASE_URL, TEMPORAL_ADDRESS and SMTP_URL take the place of the embedded parts.`;

function parse() {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        data: { type: 'string' },
        'no-install': { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
    return values;
  } catch (error) {
    throw new Refusal(`${error.message}\n\n${help}`);
  }
}

await exitWith(async () => {
  const options = parse();
  if (options.help) {
    say(help);
    return 0;
  }
  const data = resolve(options.data ?? (process.env['ATELIER_DATA'] || resolve(projectFolder, '.atelier')));
  const env = { ...process.env, ATELIER_DATA: data };
  if (options.port !== undefined) env['PORT'] = options.port;
  if (options.host !== undefined) env['HOST'] = options.host;
  if (options['no-install']) env['ATELIER_INSTALL'] = 'no';
  await ensureInstalled();
  let killed = false;
  const code = await runProgram('src/main.ts', [], {
    env,
    use: `npm start, data folder ${data}`,
    onKilled: () => (killed = true),
  });
  // Killed outright (out of memory, or by hand) it could stop nothing that it had started.
  if (killed) await runProgram('src/embedded/end-leftovers.ts', [], { env });
  return code;
});
