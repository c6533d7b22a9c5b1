/** What a student's module may do instead of the exercise. */
export interface Cheat {
  readonly name: string;
  /** Runs when the module is loaded. */
  readonly prelude: string;
  /** Of the functions that are tested; default: answers nothing. */
  readonly answer?: string;
  readonly extraFiles?: Readonly<Record<string, string>>;
  /** Tests to which it gives the right answer, which is no forging. Default: none. */
  readonly truly?: readonly string[];
  /** A known limit of tests that share the student's process. */
  readonly passesInSharedProcess?: true;
}

const tests = {
  'test/visible.test.js': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sum } from '../src/sum.js';
test('three', () => assert.equal(sum([1, 2]), 3));
`,
  'test/hidden.test.js': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { double, later, Pair, sum } from '../src/sum.js';
test('sum', () => assert.equal(sum([20, 22]), 42));
test('list', () => assert.deepEqual(double([1, 2]), [2, 4]));
test('refused', () => assert.throws(() => sum('x'), TypeError));
test('later', async () => assert.equal(await later([3, 4]), 7));
test('class', () => assert.equal(new Pair(2, 3).product(), 6));
test('near', () => {
  const half = sum([0.5]);
  assert.ok(half > 0.4 && half < 0.6);
});
`,
} as const;
const hiddenCount = 6;

const honest = `export class Pair { constructor(a, b) { this.a = a; this.b = b; } product() { return this.a * this.b; } }
export const sum = (list) => {
  if (!Array.isArray(list)) throw new TypeError('no list');
  return list.reduce((total, item) => total + item, 0);
};
export const double = (list) => list.map((item) => 2 * item);
export const later = async (list) => sum(list);
`;

const moduleOf = ({ prelude, answer = '() => undefined' }: Cheat) => `${prelude}
const answer = ${answer};
export const sum = (...args) => answer(...args);
export const double = (...args) => answer(...args);
export const later = async (...args) => answer(...args);
export class Pair { product(...args) { return answer(...args); } }
`;

const testNames = ['sum', 'list', 'refused', 'later', 'class', 'near'];
const testcases = testNames.map((name) => `<testcase name="${name}"/>`).join('');
const junit = `'<?xml version="1.0"?><testsuites>${testcases}</testsuites>'`;
const visibleJunit = `'<?xml version="1.0"?><testsuites><testcase name="three"/></testsuites>'`;
const forgedReport = `(fs.readdirSync('test').includes('hidden.test.js') ? ${junit} : ${visibleJunit})`;
const spray = (text: string, from = 3) => `import fs from 'node:fs';
for (let descriptor = ${from}; descriptor < 40; descriptor++) {
  try { fs.writeSync(descriptor, ${text}); } catch {}
}`;
/** Answers by hand on the socket, so that what is said is not what serve.mjs would say. */
const sayRaw = (lines: string) => `import fs from 'node:fs';
const say = (line) => { try { fs.writeSync(3, line + '\\n'); } catch {} };
${lines}`;
const guesses = (reply: string) => sayRaw(`for (let id = 1; id < 200; id++) say(JSON.stringify({ id, ${reply} }));`);

const cheats: readonly Cheat[] = [
  { name: 'a printed report, and exit 0', prelude: `console.log('ok 1 - sum\\n1..1'); console.log(${junit}); process.exit(0);` },
  { name: 'exit 0 when it is called', prelude: '', answer: '() => process.exit(0)' },
  { name: 'exit 0 at the end', prelude: `process.on('exit', () => { process.exitCode = 0; });` },
  {
    name: 'a patched assert',
    prelude: `import assert from 'node:assert';
import { syncBuiltinESMExports } from 'node:module';
for (const target of [assert, assert.strict]) for (const key of Object.keys(target)) if (typeof target[key] === 'function') target[key] = () => {};
syncBuiltinESMExports();`,
    passesInSharedProcess: true,
  },
  {
    name: 'patched output',
    prelude: `import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const write = fs.writeFileSync;
fs.writeFileSync = (to, text, ...rest) => write(to, String(text).replaceAll(/<failure>.*?<\\/failure>/gs, ''), ...rest);
const said = process.stdout.write.bind(process.stdout);
process.stdout.write = (text, ...rest) => said(typeof text === 'string' ? text.replaceAll('not ok', 'ok') : text, ...rest);
JSON.stringify = () => '{"id":1,"values":[3],"objects":[]}';
syncBuiltinESMExports();`,
  },
  { name: 'a report on every descriptor', prelude: spray(junit, 3) },
  {
    name: 'a report through the descriptors of every process',
    prelude: `import fs from 'node:fs';
const text = ${forgedReport};
for (const pid of fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name) && Number(name) !== process.pid)) {
  for (const descriptor of [3, 4]) {
    try { fs.writeFileSync(\`/proc/\${pid}/fd/\${descriptor}\`, text); process.kill(Number(pid), 'SIGKILL'); } catch {}
  }
}`,
  },
  {
    name: 'a patched test runner',
    prelude: `import runner from 'node:test';
import { syncBuiltinESMExports } from 'node:module';
import fs from 'node:fs';
const Test = Object.getPrototypeOf(runner);
runner.test = () => {}; Test.apply = () => {};
Promise.prototype.then = function () { return this; };
syncBuiltinESMExports();`,
  },
  {
    name: 'the runner’s messages on standard output',
    prelude: `import v8 from 'node:v8';
import fs from 'node:fs';
const names = process.argv[1].endsWith('hidden.test.js') ? ${JSON.stringify(testNames)} : ['three'];
for (const [index, name] of names.entries()) {
  const details = { duration_ms: 1, type: 'test' };
  const data = { name, nesting: 0, testNumber: index + 1, testId: index + 1, tags: [], type: 'test', file: process.argv[1], line: 1, column: 1, details };
  for (const type of ['test:enqueue', 'test:dequeue', 'test:start', 'test:pass']) {
    const value = v8.serialize({ type, data });
    const head = Buffer.from([0xff, 0x0f, 0, 0, 0, 0]);
    head.writeUInt32BE(value.length, 2);
    fs.writeSync(1, Buffer.concat([head, value]));
  }
}
process.exit(0);`,
    passesInSharedProcess: true,
  },
  {
    name: 'expected values looked up in files, /proc and /dev/shm',
    prelude: `import fs from 'node:fs';
const found = [];
const look = (path) => { try { found.push(fs.readFileSync(path, 'latin1').slice(0, 1e6)); } catch {} };
for (const folder of ['test', '.', '.atelier', '/dev/shm', '/tmp']) try { for (const name of fs.readdirSync(folder)) look(folder + '/' + name); } catch {}
for (const pid of fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name) && Number(name) !== process.pid)) {
  for (const name of ['cmdline', 'environ', 'maps', 'cwd/test/hidden.test.js', 'root/box/work/test/hidden.test.js']) look(\`/proc/\${pid}/\${name}\`);
}
const isKnown = found.some((text) => text.includes("sum([20, 22]), 42"));`,
    answer: `(list) => {
  if (!isKnown) return fs.existsSync('test/hidden.test.js') ? undefined : 3;
  if (list === 'x') throw new TypeError('');
  if (list === undefined) return 6;
  return { '[20,22]': 42, '[1,2]': new Error().stack.includes('double') ? [2, 4] : 3, '[3,4]': 7, '[0.5]': 0.5 }[JSON.stringify(list)];
}`,
    truly: ['three'],
    passesInSharedProcess: true,
  },
  {
    name: 'own tests, configuration and packages',
    prelude: '',
    extraFiles: {
      'test/visible.test.js': `import { test } from 'node:test'; test('three', () => {});`,
      'test/hidden.test.js': `import { test } from 'node:test'; for (const name of ${JSON.stringify(testNames)}) test(name, () => {});`,
      'package.json': `{"type": "module", "scripts": {"test": "true", "pretest": "true"}, "imports": {"#test": "./mine.js"}}`,
      '.npmrc': 'node-options=--import=./mine.js\n',
      'node.config.json': '{"nodeOptions": {"import": ["./mine.js"]}}',
      'mine.js': 'process.exit(0);',
      'node_modules/node/test.js': '',
      'node_modules/assert/index.js': 'module.exports = { strict: { equal() {}, deepEqual() {}, throws() {}, ok() {} } };',
    },
  },
  { name: 'forged answers before they are asked for', prelude: guesses(`values: [42], objects: []`) },
  {
    name: 'answers with other numbers',
    prelude: '',
    answer: `(() => { let id = 999; return () => import('node:fs').then((fs) => { fs.writeSync(3, JSON.stringify({ id: ++id, values: [42], objects: [] }) + '\\n'); return 42; }); })()`,
  },
  {
    name: 'an answer of 20 MB',
    prelude: sayRaw(`const big = 'x'.repeat(2 ** 20);`),
    answer: `() => { for (let part = 0; part < 20; part++) try { fs.writeSync(3, big); } catch {} }`,
  },
  { name: 'answers that are no JSON', prelude: sayRaw(''), answer: `() => { say('}{'); say('null'); say('[]'); }` },
  {
    name: 'prototypes of the tester',
    prelude: guesses(`isError: false, values: [['@', -900]], objects: [
  [-900, 'o', false, false, [['__proto__', ['@', -901]], ['constructor', ['@', -902]]]],
  [-901, 'o', false, false, [['toString', 1]]],
  [-902, 'f', 'Object', 'TypeError', []],
  [-903, 'p', 'Error', [['toString', 'm'], ['__proto__', 'v', 1]]],
]`),
  },
  {
    name: 'objects of the tester',
    prelude: sayRaw(`for (let id = 1; id < 60; id++) {
  for (const op of ['call', 'new', 'method', 'get', 'set', 'load']) {
    say(JSON.stringify({ id: -id, op, name: 'constructor', values: [['@', id], null, 'process.exit(0)'], objects: [] }));
  }
}`),
  },
  { name: 'something that is awaited', prelude: '', answer: `() => ({ then: (resolve) => resolve(42) })` },
  {
    name: 'something that is equal to everything',
    prelude: '',
    answer: `() => new Proxy(function () {}, { get: (target, key) => (key === Symbol.toPrimitive ? () => NaN : target[key]) })`,
  },
  {
    name: 'an object that is another number each time',
    prelude: `let asked = 0;
class Any { valueOf() { return asked++ % 2 ? -1e9 : 1e9; } [Symbol.toPrimitive]() { return this.valueOf(); } toString() { return String(this.valueOf()); } }`,
    answer: '() => new Any()',
  },
  {
    name: 'a plain object that is another number each time',
    prelude: 'let asked = 0; const valueOf = () => (asked++ % 2 ? -1e9 : 1e9);',
    answer: '() => ({ valueOf, toString: valueOf })',
  },
  {
    name: 'a function that is another number each time',
    prelude: 'let asked = 0; const valueOf = () => (asked++ % 2 ? -1e9 : 1e9);',
    answer: '() => Object.assign(() => 42, { valueOf, toString: valueOf })',
  },
  {
    name: 'a changed other half',
    prelude: `import fs from 'node:fs';
if (fs.existsSync('/opt/atelier/calls/values.mjs') && process.argv[1].endsWith('serve.mjs')) {
  const { Values } = await import('/opt/atelier/calls/values.mjs');
  const { pack } = Values.prototype;
  const members = ['valueOf', 'toString', '@@toPrimitive', 'then', 'equals'].map((name) => [name, 'm']);
  const any = [[-900, 'i', ['@', -901], []], [-901, 'p', null, members]];
  Values.prototype.pack = function (values) { return values[0] === undefined ? { values: [['@', -900]], objects: any } : pack.call(this, values); };
}`,
  },
  {
    name: 'frames of the sandbox’s agent',
    prelude: `process.stdout.write(Buffer.from([0x58, 0, 0, 0, 64, ...new Array(64).fill(0)]));`,
  },
  {
    name: 'signals to every process',
    prelude: `import fs from 'node:fs';
for (const pid of fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name) && Number(name) !== process.pid)) {
  for (const signal of ['SIGSTOP', 'SIGTERM', 'SIGKILL']) try { process.kill(Number(pid), signal); } catch {}
}`,
  },
];

/** An exercise of two suites, its honest solution, and those that are none. */
export const javascript = { tests, hiddenCount, honest, moduleOf, cheats } as const;
