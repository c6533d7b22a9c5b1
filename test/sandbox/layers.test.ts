import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { pack } from 'tar-stream';
import { buffer } from 'node:stream/consumers';
import type { Language } from '../../src/domain/check-runs.ts';
import type { ProjectRevision } from '../../src/domain/exercises.ts';
import { createLayerBuilder } from '../../src/layers/build-layer.ts';
import { openSandbox } from '../../src/sandbox/choose.ts';
import { dockerEngine } from '../../src/sandbox/docker.ts';
import { LayerImages } from '../../src/sandbox/layer-images.ts';
import { cacheFolder } from '../../src/sandbox/toolchain.ts';
import { runner } from '../support/runner.ts';
import { judgeProject } from '../../src/sandbox/project-checks.ts';
import type { RunRequest, Sandbox, SandboxLayer } from '../../src/sandbox/sandbox.ts';
import { createBlobStore } from '../../src/storage/blobs.ts';
import { askRegistry, npmList, pipList } from '../support/registry.ts';
import { layerOfTar, packTexts } from '../support/layers.ts';
import { describeReal, jobOf, limits, options, projectChecks } from './real-sandboxes.ts';

/** Keys of all that these tests leave on the machine. */
const used = new Set<string>();

/** A package for each language, with a file and a package that it needs itself. `word` is told by both. */
async function greetings(word: string): Promise<ReturnType<typeof layerOfTar>> {
  const modules = 'node_modules/greeting';
  const python = 'opt/python-packages/greeting';
  const layer = layerOfTar(
    await packTexts({
      [`${modules}/package.json`]: '{"name": "greeting", "version": "1.0.0", "types": "index.d.ts"}',
      [`${modules}/index.js`]: "exports.greet = (name) => `${require('./word.js')} ${require('end')(name)}`;",
      [`${modules}/index.d.ts`]: 'export declare function greet(name: string): string;',
      [`${modules}/word.js`]: `module.exports = '${word}';`,
      [`${modules}/node_modules/end/index.js`]: 'module.exports = (name) => `${name}!`;',
      [`${python}/__init__.py`]: `from .word import WORD

try:
    from emphasis import END
except ImportError:
    END = "!"


def greet(name):
    return f"{WORD} {name}{END}"
`,
      [`${python}/word.py`]: `WORD = '${word}'\n`,
    }),
  );
  used.add(layer.key);
  return layer;
}

const files = {
  'main.mjs': "import { greet } from 'greeting';\nconsole.log(greet('Ada'));",
  'main.ts': "import { greet } from 'greeting';\nconst text: string = greet('Ada');\nconsole.log(text);",
  'wrong.ts': "import { greet } from 'greeting';\nconst text: number = greet('Ada');\nconsole.log(text);",
  'main.py': "from greeting import greet\nprint(greet('Ada'))\n",
};
const run = (name: string, argv: readonly string[]): RunRequest => ({ name, argv, limits });
const checkTypes = ['node', '/opt/atelier/check-types.mjs'];
const programs = [
  run('node', ['node', './main.mjs']),
  run('typescript', ['node', './main.ts']),
  { ...run('python', ['python3', './main.py']) },
];

async function tell(sandbox: Sandbox, runs: readonly RunRequest[], layer?: SandboxLayer): Promise<readonly string[]> {
  const results = await sandbox.run({ ...jobOf(files, runs), layer }, options());
  return results.map(({ stdout, exitCode }) => `${exitCode} ${stdout.toString().trim()}`);
}

/** Tests of style `calls` that use the package themselves, and whose submission has a file of its name. */
const projects: readonly {
  readonly language: Language;
  readonly test: string;
  readonly own: string;
  readonly submitted: object;
}[] = [
  {
    language: 'javascript',
    test: 'test/welcome.test.mjs',
    own: `import assert from 'node:assert';
      import { test } from 'node:test';
      import { greet } from 'greeting';
      import { welcome } from '../welcome.mjs';
      test('welcome', () => assert.equal(welcome('Ada'), greet('Ada')));
      test('the package is that of the exercise', () => assert.equal(greet('Ada'), 'Hello Ada!'));`,
    submitted: {
      'welcome.mjs': "import { greet } from 'greeting';\nexport const welcome = (name) => greet(name);",
      'node_modules/greeting/package.json': '{"main": "index.js"}',
      'node_modules/greeting/index.js': "exports.greet = () => 'forged';",
    },
  },
  {
    language: 'python',
    test: 'test/test_welcome.py',
    own: `import unittest
from greeting import greet
from greeting.word import WORD
from welcome import welcome

class Welcome(unittest.TestCase):
    def test_welcome(self):
        self.assertEqual(welcome('Ada'), greet('Ada'))

    def test_package(self):
        self.assertEqual((greet('Ada'), WORD), ('Hello Ada!', 'Hello'))
`,
    submitted: {
      'welcome.py': 'from greeting import greet\n\ndef welcome(name):\n    return greet(name)\n',
      'greeting/__init__.py': "def greet(name):\n    return 'forged'\n",
      'greeting/word.py': "WORD = 'forged'\n",
      // A package would take it, if it were there.
      'emphasis.py': "END = '?'\n",
    },
  },
];

const registered = { npm: await askRegistry('npm'), pip: await askRegistry('pip') };

await describeReal((sandbox) => {
  describe('a dependency layer', () => {
    afterAll(async () => {
      await sandbox.close();
      for (const key of used) {
        await rm(join(cacheFolder, 'layers', key), { recursive: true, force: true });
        if (sandbox.kind !== 'docker') continue;
        const engine = dockerEngine();
        await engine
          .getImage(new LayerImages(engine, sandbox.identity).tagOf(key))
          .remove({ force: true })
          .catch(() => undefined);
      }
    });

    test('is imported by the programs of its job, and by those of no other', async () => {
      const layer = await greetings('Hello');
      const own = ['0 Hello Ada!', '0 Hello Ada!', '0 Hello Ada!'];
      expect(await tell(sandbox, programs, layer)).toEqual(own);
      expect(await tell(sandbox, programs)).toEqual(['1 ', '1 ', '1 ']);
      expect(await tell(sandbox, programs, await greetings('Welcome'))).toEqual(
        own.map((line) => line.replace('Hello', 'Welcome')),
      );
    });

    test('has types that are checked', async () => {
      const layer = await greetings('Hello');
      const [right, wrong] = await tell(
        sandbox,
        [run('right', [...checkTypes, 'main.ts']), run('wrong', [...checkTypes, 'wrong.ts'])],
        layer,
      );
      expect(right).toBe('0 ');
      expect(wrong).toMatch(/TS2322/);
    });

    test('is fetched once, for however many jobs', async () => {
      const layer = await greetings(`Hello-${randomUUID()}`);
      const jobs = await Promise.all([1, 2, 3].map(() => tell(sandbox, programs.slice(0, 1), layer)));
      await tell(sandbox, programs.slice(0, 1), layer);
      expect(new Set(jobs.flat()).size).toBe(1);
      expect(layer.reads()).toBe(1);
    });

    test('stays as it is, whatever a run does', async () => {
      const spoil = (place: string) => `echo spoilt > ${place} || chmod 777 ${place} || mv ${place} /tmp/ || rm -f ${place}`;
      const places = [
        '/node_modules/greeting/word.js',
        '/opt/python-packages/greeting/word.py',
        '/node_modules/more',
        '/opt/python-packages/more.py',
      ];
      const runs = places.map((place) => run(`spoil ${place}`, ['sh', '-c', `${spoil(place)} 2>/dev/null; cat ${place}`]));
      const [module, python, ...more] = await sandbox.run(
        { ...jobOf(files, [...runs, ...programs]), layer: await greetings('Hello') },
        options(),
      );
      expect(module?.stdout.toString()).toBe("module.exports = 'Hello';");
      expect(python?.stdout.toString()).toBe("WORD = 'Hello'\n");
      expect(more.map(({ stdout }) => stdout.toString().trim())).toEqual(['', '', 'Hello Ada!', 'Hello Ada!', 'Hello Ada!']);
    });

    test.each(projects)(
      '$language: is imported by tests of style calls, where no file of the submission stands in for it',
      async (project) => {
        const { language, own, submitted } = project;
        const suite = { files: [project.test], count: 2, points: 0 };
        const revision: ProjectRevision = {
          language,
          checks: { ...projectChecks({ visible: suite, hidden: suite }), testStyle: 'calls' },
          files: [
            { role: 'visible-test', path: project.test, content: own },
            { role: 'configuration', path: '.atelier/lint.json', content: '{}' },
          ],
        };
        const bench = {
          sandbox,
          label: jobOf({}, []).label,
          signal: AbortSignal.timeout(100_000),
          layer: await greetings('Hello'),
        };
        const judgeFiles = async (names: readonly string[]) => {
          const chosen = Object.entries(submitted).filter(([path]) => names.some((name) => path.startsWith(name)));
          const { checks, runs } = await judgeProject(
            revision,
            chosen.map(([path, text]) => ({ path, content: Buffer.from(String(text)) })),
            bench,
          );
          const visible = checks.tests.filter((judged) => judged.suite === 'visible');
          return {
            failed: visible.filter(({ outcome }) => outcome !== 'passed').map(({ name }) => name.split('.').at(-1)),
            count: visible.length,
            log: runs.map(({ stderr }) => stderr.toString()).join('\n'),
          };
        };
        expect(await judgeFiles(['welcome'])).toMatchObject({ failed: [], count: 2 });
        // The submission may well fool itself.
        for (const file of language === 'python' ? ['greeting', 'emphasis'] : ['node_modules']) {
          const fooled = await judgeFiles(['welcome', file]);
          expect(fooled).toMatchObject({ failed: [language === 'python' ? 'test_welcome' : 'welcome'], count: 2 });
        }
      },
    );

    describe.each([
      ['npm', npmList, ['node', '-e', "console.log(require('isarray')([]))"], 'true'],
      ['pip', pipList, ['python3', '-c', 'import iniconfig; print(iniconfig.IniConfig.__name__)'], 'IniConfig'],
    ] as const)('from %s', (installer, list, argv, output) => {
      registered[installer](() => {
        test('holds what was published', async () => {
          const folder = await mkdtemp(join(tmpdir(), 'atelier-blobs-'));
          try {
            const blobs = createBlobStore(folder);
            const key = await createLayerBuilder(blobs, process.env)(list);
            used.add(key);
            expect(await tell(sandbox, [run('with', argv)], { key, read: () => blobs.get(key) })).toEqual([`0 ${output}`]);
            expect(await tell(sandbox, [run('without', argv)])).toEqual(['1 ']);
          } finally {
            await rm(folder, { recursive: true });
          }
        }, 120_000);
      });
    });

    test('is never that of another job, where sandboxes wait for theirs', async () => {
      const { sandbox: pooled, probes } = await openSandbox(sandbox.kind, { onMessage: () => undefined, runner, pool: 2 });
      if (pooled === null) throw new Error(JSON.stringify(probes));
      try {
        const layers = [await greetings('Hello'), await greetings('Welcome'), undefined];
        const wanted = ['0 Hello Ada!', '0 Welcome Ada!', '1 '];
        for (let round = 0; round < 4; round++) {
          const told = await Promise.all(layers.map((layer) => tell(pooled, programs.slice(0, 1), layer)));
          expect(told.flat()).toEqual(wanted);
        }
      } finally {
        await pooled.close();
      }
    });

    test('that is gone, damaged or hostile is our trouble, and no run is made', async () => {
      const tar = await packTexts({ 'node_modules/a/index.js': `// ${randomUUID()}` });
      const gone = Object.assign(new Error('no such file'), { code: 'ENOENT' });
      const link = pack();
      link.entry({ name: 'node_modules/passwd', type: 'symlink', linkname: '/etc/passwd' });
      link.finalize();
      const layers: readonly SandboxLayer[] = [
        { ...layerOfTar(tar), read: () => Promise.reject(gone) },
        { ...layerOfTar(tar), read: () => Promise.resolve(Buffer.concat([tar, tar])) },
        layerOfTar(await buffer(link)),
        { key: '../../etc', read: () => Promise.resolve(tar) },
      ];
      for (const layer of layers) {
        const started: string[] = [];
        const made = sandbox.run(
          { ...jobOf(files, programs), layer },
          { ...options(), onRunStart: (name) => void started.push(name) },
        );
        await expect(made).rejects.toMatchObject({ name: 'SandboxError', transient: false });
        expect(started).toEqual([]);
      }
    });
  });
});
