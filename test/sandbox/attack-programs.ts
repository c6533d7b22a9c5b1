import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Part of every command line here, and so of every process that an attack leaves. */
export const mark = `attack-${randomUUID()}`;

export const python = (...lines: readonly string[]): readonly string[] => ['python3', '-c', [`# ${mark}`, ...lines].join('\n')];
export const node = (code: string): readonly string[] => ['node', '-e', `// ${mark}\n${code}`];

/** One of the programs in attacks/: a file for the work folder and the command that runs it. */
export function program(file: string, ...args: readonly string[]) {
  const content = readFileSync(join(import.meta.dirname, 'attacks', file), 'utf8');
  return { files: { [file]: content }, argv: ['python3', `./${file}`, ...args, mark] };
}

/** What is tried, in words, and the command that tries it. */
export type Attack = readonly [what: string, argv: readonly string[]];

export const bombs: readonly Attack[] = [
  ['processes', python('import os', 'while True:', '  try: os.fork()', '  except OSError: pass')],
  [
    'processes of Node',
    node(`const { spawn } = require('node:child_process');
      const bomb = () => { spawn(process.execPath, ['-e', 'for(;;);']).on('error', () => {}); setImmediate(bomb); };
      bomb();`),
  ],
  [
    'threads',
    python(
      'import threading, time',
      'while True:',
      '  try: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()',
      '  except RuntimeError: pass',
    ),
  ],
];

export const hogs: readonly Attack[] = [
  [
    'many children, each with little',
    python(
      'import os, time',
      'for _ in range(25):',
      '  if os.fork() == 0: held = b"x" * 20000000; time.sleep(60)',
      'time.sleep(60)',
    ),
  ],
  [
    'files and memory together',
    python(
      'held = bytearray(b"x" * 80000000)',
      'for i in range(7): open(f"/tmp/{i}", "wb").write(b"x" * 1000000)',
      'while True: held += b"x" * 1000000',
    ),
  ],
  [
    'shared memory without a name',
    python('import mmap', 'held = []', 'while True: held.append(mmap.mmap(-1, 1 << 20)); held[-1].write(b"x" * (1 << 20))'),
  ],
  [
    'memory behind descriptors, where there is such a thing',
    python(
      'import os',
      'held = []',
      'while True:',
      '  try: held.append(os.memfd_create("x")); os.write(held[-1], b"x" * 7000000)',
      '  except OSError: held.append(bytearray(b"x" * 7000000))',
    ),
  ],
  [
    'a child, after which the parent ends well',
    python(
      'import subprocess, sys',
      'subprocess.run([sys.executable, "-c", "a = []\\nwhile True: a.append(bytearray(1 << 20))"])',
    ),
  ],
];

export const spinners: readonly Attack[] = [
  ['a loop', python('while True: pass')],
  ['a loop in Node', node('for(;;);')],
  ['sixteen processes', python('import os', 'for _ in range(4): os.fork()', 'while True: pass')],
  [
    'an orphan in a session of its own',
    python(
      'import os, time',
      'if os.fork() == 0:',
      '  os.setsid()',
      '  if os.fork() == 0:',
      '    while True: pass',
      '  os._exit(0)',
      'time.sleep(60)',
    ),
  ],
  [
    'all signals ignored',
    python(
      'import signal',
      'for number in range(1, 65):',
      '  try: signal.signal(number, signal.SIG_IGN)',
      '  except (OSError, ValueError): pass',
      'while True: pass',
    ),
  ],
  [
    'the limit lifted',
    python(
      'import resource',
      'try: resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))',
      'except (OSError, ValueError): pass',
      'while True: pass',
    ),
  ],
];

export const sleepers: readonly Attack[] = [
  ['sleep', python('import time', 'time.sleep(60)')],
  ['stopped by itself', python('import os, signal', 'os.kill(os.getpid(), signal.SIGSTOP)')],
  ['all descriptors closed', python('import os, time', 'os.closerange(0, 1024)', 'time.sleep(60)')],
];

/** These end by themselves, and leave what is not easily removed. */
export const leavers: readonly Attack[] = [
  [
    'a tree deeper than any path',
    python(
      'import os',
      'os.chdir("/tmp")',
      'for _ in range(2000): os.mkdir("d" * 200); os.chdir("d" * 200)',
      'open("x", "w").close()',
    ),
  ],
  [
    'folders that nobody may enter',
    python(
      'import os',
      'for i in range(20):',
      '  os.makedirs(f"/tmp/{i}/in/side"); open(f"/tmp/{i}/in/x", "w").close()',
      '  os.chmod(f"/tmp/{i}/in", 0); os.chmod(f"/tmp/{i}", 0)',
    ),
  ],
  [
    'odd names',
    python(
      'import os',
      'for name in (b"a\\nb", b"-rf", b"\\xff\\xfe", b" ", b"\\x1b[31m", b"...", b"$(id)", b"n" * 255):',
      '  open(b"/tmp/" + name, "w").close(); os.symlink(b"/", b"/dev/shm/" + name)',
    ),
  ],
  [
    'links, pipes, sockets',
    python(
      'import os, socket',
      'os.chdir("/tmp")',
      'os.mkfifo("pipe"); os.symlink(".", "loop"); os.symlink("/", "root"); open("a", "w").close(); os.link("a", "b")',
      'socket.socket(socket.AF_UNIX).bind("socket")',
    ),
  ],
  [
    'a file without a name that is written on',
    python(
      'import os',
      'if os.fork() == 0:',
      '  held = open("/tmp/held", "w"); os.remove("/tmp/held")',
      '  while True: held.write("x"); held.seek(0)',
    ),
  ],
  [
    'daemons that hold the output',
    python(
      'import os, time',
      'for _ in range(5):',
      '  if os.fork() == 0:',
      '    os.setsid()',
      '    if os.fork(): os._exit(0)',
      '    while True: time.sleep(0.01)',
    ),
  ],
  ['one that runs from its killer', python('import os', 'while True:', '  if os.fork(): os._exit(0)', '  os.setsid()')],
  [
    'an output in flight between two sockets that hold each other',
    python(
      'import array, socket',
      'a, b = socket.socketpair()',
      'held = array.array("i", [1, 2, 3, a.fileno(), b.fileno()])',
      'for end in (a, b): end.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, held)])',
    ),
  ],
  [
    'all killed that it may kill',
    python('import os, signal', 'if os.fork() == 0: os.kill(-1, signal.SIGKILL)', 'else: os.wait()'),
  ],
  ['a crash', python('import os', 'os.abort()')],
  ['an input of which nothing is read', ['true', mark]],
];

/** In the folder of the result, `out`: something else, or somewhere else. */
export const falseResults: Readonly<Record<string, readonly string[]>> = {
  'a link to a file of the system': ['os.symlink("/etc/passwd", "out")'],
  "a link to the agent's environment": ['os.symlink("/proc/1/environ", "out")'],
  'a named pipe': ['os.mkfifo("out")'],
  'a socket': ['socket.socket(socket.AF_UNIX).bind("out")'],
  'a sparse file over the limit': ['open("out", "wb").truncate(7000000)'],
  'a name with a line end': ['open("out\\n", "w").write("x")'],
  'a hard link to a file of the system': ['try: os.link("/etc/passwd", "out")', 'except OSError: pass'],
  'a file that nobody may read': ['open("out", "w").write("x"); os.chmod("out", 0)'],
};
