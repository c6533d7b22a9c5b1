/**
 * `node tester.mjs TEST... -- OWN...`: the tests' half of a test of two processes. Runs test files of the work folder with Node's own
 * runner, in this process, and writes JUnit XML to descriptor 4. What they import is the exercise's own where it is among OWN; every
 * other module of the work folder is the submission's: it is loaded by the other half (serve.mjs), and what it exports are
 * stand-ins that ask it. Nothing of the submission is loaded or looked up here, so nothing of it can reach the report.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { isBuiltin, registerHooks, stripTypeScriptTypes } from 'node:module';
import { extname, isAbsolute, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { reportTests } from '../junit.mjs';
import { Conversation } from './conversation.mjs';

const reportDescriptor = 4;
const scheme = 'submission:';
const endings = ['', '.js', '.mjs', '.cjs', '.ts', '/index.js'];
const maxExports = 1000;

const args = process.argv.slice(2);
const separator = args.indexOf('--');
const files = args.slice(0, separator).map((file) => resolve(file));
const ownPaths = new Set(args.slice(separator + 1).map((path) => resolve(path)));
const workFolder = process.cwd();
/** The exercise's dependency layer, where it has one. */
const packages = '/node_modules';
/** From where packages are looked up: the exercise's own, else the runner's. None of the work folder is looked at. */
const lookup = existsSync(packages) ? pathToFileURL('/tests.mjs').href : import.meta.url;

/** The submission may call what a test handed it, and nothing else. */
function answer({ op }, [called, self, ...values]) {
  if (op !== 'call' || typeof called !== 'function' || !conversation.isOwn(called))
    throw new Error('not a function of the tests');
  return Reflect.apply(called, self, values);
}

const conversation = new Conversation({ sign: 1, answer });
const modules = new Map();
/** Where the text of a stand-in module finds its values. */
globalThis[Symbol.for('atelier.submission')] = modules;

function isBelow(folder, path) {
  const way = relative(folder, path);
  return way !== '' && !way.startsWith('..') && !isAbsolute(way);
}

/** The file that an import means; null where it means none of the work folder. */
function fileOf(specifier, parentUrl) {
  const isPath = /^(?:\.{0,2}\/|\.{1,2}$|file:)/.test(specifier);
  if (!isPath) return null;
  const path = fileURLToPath(new URL(specifier, parentUrl));
  if (!isBelow(workFolder, path)) return null;
  return (
    endings.map((ending) => path + ending).find((candidate) => existsSync(candidate) && statSync(candidate).isFile()) ?? path
  );
}

/** Text of a module that exports what the submission's one does. */
function standIn(path) {
  const exported = conversation.ask('load', relative(workFolder, path), []);
  if (!Array.isArray(exported) || exported.length > maxExports) throw new Error(`${path} exports too much`);
  const byName = new Map(exported.map(([name, value]) => [String(name).toWellFormed(), value]));
  modules.set(path, byName);
  const exports = [...byName.keys()].map((name, index) => {
    const text = JSON.stringify(name);
    return `const value${index} = exported.get(${text});\nexport { value${index} as ${text} };`;
  });
  return [`const exported = globalThis[Symbol.for('atelier.submission')].get(${JSON.stringify(path)});`, ...exports].join('\n');
}

/** A file of the exercise, whatever a package.json of the submission says of its kind. */
function ownModule(path) {
  const text = readFileSync(path, 'utf8');
  const source = extname(path) === '.ts' ? stripTypeScriptTypes(text) : text;
  const isModule = extname(path) === '.mjs' || (extname(path) !== '.cjs' && /^\s*(?:import|export)\b/m.test(source));
  return { format: isModule ? 'module' : 'commonjs', source, shortCircuit: true };
}

registerHooks({
  resolve(specifier, context, next) {
    if (isBuiltin(specifier)) return next(specifier, context);
    const parentUrl = context.parentURL ?? import.meta.url;
    const path = fileOf(specifier, parentUrl);
    const isOfPackage = parentUrl.startsWith(`${pathToFileURL(packages).href}/`);
    if (path === null) return next(specifier, isOfPackage ? context : { ...context, parentURL: lookup });
    if (extname(path) === '.json') return next(pathToFileURL(path).href, context);
    if (ownPaths.has(path)) return { url: pathToFileURL(path).href, shortCircuit: true };
    return { url: scheme + path, format: 'module', shortCircuit: true };
  },
  load(url, context, next) {
    if (url.startsWith(scheme)) return { format: 'module', source: standIn(url.slice(scheme.length)), shortCircuit: true };
    if (!url.startsWith('file:')) return next(url, context);
    const path = fileURLToPath(url);
    return ownPaths.has(path) && extname(path) !== '.json' ? ownModule(path) : next(url, context);
  },
});

const events = run({ files, concurrency: false, isolation: 'none' });
reportTests(events, { files, descriptor: reportDescriptor, findFault: () => conversation.brokenBy });
