/**
 * `node lint.mjs javascript|typescript|python [--config FILE] [--scored LIST]`: lints the student's files below the current folder and
 * writes a JSON array of `{file, line, rule, severity, message}` to descriptor 3, on one line. The configuration is, for JavaScript and
 * TypeScript, oxlint's; for Python, ruff's options as JSON. Without it the linter's own defaults are used, and all findings are warnings.
 *
 * With LIST, a JSON array of paths, a second line follows: what our own configuration finds in these files, for the score. Both in one
 * process, as starting a linter takes longer than linting.
 *
 * Exit code 0 also with findings, such as that a file cannot be read; 1 with no report, or only its first line, where the linter or a
 * configuration fails, whatever the student's files are.
 */
import { isUtf8 } from 'node:buffer';
import { execFile } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';

const reportDescriptor = 3;
const maxFindings = 200;
/** Of one line of the report: two have to fit the channel's 1 MiB. */
const maxLineBytes = 520_000;
const maxFileLength = 1000;
const maxMessageLength = 500;

/** The exercise's tests and installed packages are not the student's work. At the top only: deeper down the name would be a hiding place. */
const excludedFolders = new Set(['test', 'tests', 'node_modules']);

/** The pattern does not match names with a leading dot. */
function studentFiles(extensions) {
  return globSync('**/*', { withFileTypes: true })
    .filter((entry) => entry.isFile() && extensions.has(extname(entry.name)))
    .map((entry) => relative(process.cwd(), join(entry.parentPath, entry.name)))
    .filter((file) => !excludedFolders.has(file.split('/')[0]))
    .toSorted();
}

/** What the student hears of a file that no linter can read; a crash on it is the file's doing, not a reason to judge nothing. */
function unreadable(file, message) {
  return { file, line: 1, rule: 'syntax', severity: 'error', message };
}

const notUtf8 = (file) => unreadable(file, 'The file is not UTF-8 text.');
const notLintable = (file) => unreadable(file, 'The linter cannot read this file: it may be nested too deeply or too large.');

/** Far below the kernel's limit for arguments of one process, which 2,000 long paths reach. */
const maxArgumentLength = 100_000;

/** Groups of files whose names fit one command line. */
function* groups(files) {
  let group = [];
  let length = 0;
  for (const file of files) {
    if (length > maxArgumentLength) {
      yield group;
      group = [];
      length = 0;
    }
    group.push(file);
    length += file.length;
  }
  if (group.length > 0) yield group;
}

/** Named all the same: without a configuration oxlint takes that of the work folder, which is the student's. */
const oxlintDefaults = new URL('lint-defaults.json', import.meta.url).pathname;

/** `{diagnostics, problem}`: the findings in oxlint's own shape, null where it crashed or said no; `problem` is what it said. */
async function runOxlint(config, files) {
  const oxlint = new URL('node_modules/oxlint/bin/oxlint', import.meta.url).pathname;
  const flags = ['-c', config ?? oxlintDefaults, '--format=json', '--disable-nested-config', '--no-ignore', '--threads=1'];
  return new Promise((resolve) => {
    execFile(process.execPath, [oxlint, ...flags, ...files], { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      try {
        // Exit code 1 also means findings; whole JSON is what tells them from a crash or a wrong configuration.
        resolve({ diagnostics: JSON.parse(stdout).diagnostics });
      } catch {
        resolve({ diagnostics: null, problem: stdout.slice(0, 2000) + stderr.slice(0, 2000) || error?.message });
      }
    });
  });
}

const checkedConfigs = new Set();

/**
 * Tries the configuration on a file of ours: what fails although this works is due to the student's files. Asked only once something
 * has failed, as it takes as long as the linting itself.
 */
async function checkConfig(config) {
  if (checkedConfigs.has(config)) return;
  const { diagnostics, problem } = await runOxlint(config, [import.meta.filename]);
  if (diagnostics === null) throw new Error(problem);
  checkedConfigs.add(config);
}

/** Where a file makes the linter crash, halves what is left until that file is alone, so that the others keep their findings. */
async function diagnose(config, files) {
  const { diagnostics } = await runOxlint(
    config,
    files.map((file) => `./${file}`),
  );
  if (diagnostics !== null) return diagnostics.map(readDiagnostic);
  await checkConfig(config);
  if (files.length === 1) return [notLintable(files[0])];
  const half = Math.ceil(files.length / 2);
  return [...(await diagnose(config, files.slice(0, half))), ...(await diagnose(config, files.slice(half)))];
}

/** A file that cannot be read has no `filename`, one that cannot be parsed no `code`. */
function readDiagnostic({ filename, labels, code, severity, message }) {
  return {
    file: (filename ?? '').replace(/^\.\//, ''),
    line: labels?.[0]?.span?.line ?? 1,
    rule: code?.replace(/^(.+)\((.+)\)$/, '$1/$2') ?? 'syntax',
    severity: severity === 'error' ? 'error' : 'warning',
    message: message ?? '',
  };
}

/**
 * Files are named one by one and ignore files are off: a student's own configuration, or an ignore file, must not hide findings.
 */
async function lintJavaScript(config, files) {
  const readable = files.filter((file) => isUtf8(readFileSync(file)));
  const findings = files.filter((file) => !readable.includes(file)).map(notUtf8);
  for (const group of groups(readable)) findings.push(...(await diagnose(config, group)));
  return findings;
}

const require = createRequire(import.meta.url);

function openRuff(config) {
  const ruff = require('@astral-sh/ruff-wasm-nodejs');
  return new ruff.Workspace(config, ruff.PositionEncoding.Utf32);
}

/** A fresh instance: one that has crashed is left with what the crash put on its stack. */
function reopenRuff(config) {
  delete require.cache[require.resolve('@astral-sh/ruff-wasm-nodejs')];
  return openRuff(config);
}

/** Ruff knows no severities: what the configuration selects is an error. */
function lintPython(configPath, files) {
  const config = configPath === undefined ? {} : JSON.parse(readFileSync(configPath, 'utf8'));
  let workspace = openRuff(config);
  return files.flatMap((file) => {
    const source = readFileSync(file, 'utf8');
    try {
      return workspace.check(source).map(({ code, message, start_location: start }) => ({
        file,
        line: start.row,
        rule: code ?? 'syntax',
        severity: 'error',
        message,
      }));
    } catch {
      workspace = reopenRuff(config);
      return [notLintable(file)];
    }
  });
}

const javaScript = {
  lint: lintJavaScript,
  extensions: new Set(['.js', '.mjs', '.cjs', '.jsx', '.ts', '.mts', '.cts', '.tsx']),
  scoreConfig: new URL('analysis-oxlint.json', import.meta.url).pathname,
};
const linters = {
  javascript: javaScript,
  typescript: javaScript,
  python: {
    lint: lintPython,
    extensions: new Set(['.py']),
    scoreConfig: new URL('analysis-ruff.json', import.meta.url).pathname,
  },
};

/**
 * Cut, and without control characters, whose escapes in JSON are so long that 200 findings could outgrow the report's limit of 1 MiB.
 */
function clean(text, maxLength) {
  return text
    .slice(0, maxLength)
    .replaceAll(/(?![\t\n])\p{Cc}/gu, '\uFFFD')
    .toWellFormed();
}

/** Writes the first findings, by file and line, as a line of the report; returns them. */
function report(findings) {
  const first = [];
  let bytes = 0;
  for (const finding of findings.toSorted((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1))) {
    const cleaned = { ...finding, file: clean(finding.file, maxFileLength), message: clean(finding.message, maxMessageLength) };
    bytes += Buffer.byteLength(JSON.stringify(cleaned)) + 1;
    if (first.length === maxFindings || bytes > maxLineBytes) break;
    first.push(cleaned);
  }
  writeFileSync(reportDescriptor, `${JSON.stringify(first)}\n`);
  return first;
}

// V8's optimising compiler takes 120 to 250 MB and most of the time for code that runs once, over the limit of many an exercise; and
// the linter's code is known to be valid, most of which is never run.
for (const flag of ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering', '--wasm-lazy-validation']) setFlagsFromString(flag);

const {
  positionals: [language],
  values: { config, scored },
} = parseArgs({ allowPositionals: true, options: { config: { type: 'string' }, scored: { type: 'string' } } });
const { lint, extensions, scoreConfig } = linters[language];
const found = await lint(config, studentFiles(extensions));
// Nobody has chosen what the defaults say: it decides nothing.
const findings = report(config === undefined ? found.map((finding) => ({ ...finding, severity: 'warning' })) : found);
// Before the readable list, which may reach the limit of output.
if (scored !== undefined) report(await lint(scoreConfig, JSON.parse(readFileSync(scored, 'utf8'))));
for (const { file, line, rule, severity, message } of findings) console.log(`${file}:${line} ${severity} ${rule} ${message}`);
