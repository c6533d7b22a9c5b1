/**
 * `node lint.mjs javascript|python CONFIG`: lints the student's files below the current folder with the exercise's configuration and
 * writes a JSON array of `{file, line, rule, severity, message}` to descriptor 3. JavaScript: an oxlint configuration; Python: ruff's
 * options as JSON. Exit code 0 also with findings; 1 with no report where the linter or its configuration fails.
 */
import { execFile } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join, relative } from 'node:path';

const reportDescriptor = 3;
const maxFindings = 200;
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

/**
 * Files are named one by one and ignore files are off: a student's own configuration, or an ignore file, must not hide findings.
 */
async function lintJavaScript(config) {
  const files = studentFiles(new Set(['.js', '.mjs', '.cjs', '.jsx', '.ts', '.mts', '.cts', '.tsx']));
  if (files.length === 0) return [];
  const oxlint = new URL('node_modules/oxlint/bin/oxlint', import.meta.url).pathname;
  const flags = ['-c', config, '--format=json', '--disable-nested-config', '--no-ignore', '--threads=1'];
  const output = await new Promise((resolve, reject) => {
    const argv = [oxlint, ...flags, ...files.map((file) => `./${file}`)];
    execFile(process.execPath, argv, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      // Exit code 1 also means findings; a JSON object is what tells them from a wrong configuration.
      if (stdout.trimStart().startsWith('{')) resolve(stdout);
      else reject(new Error(stdout + stderr || error?.message));
    });
  });
  return JSON.parse(output).diagnostics.map(({ filename, labels, code, severity, message }) => ({
    file: filename.replace(/^\.\//, ''),
    line: labels[0]?.span.line ?? 1,
    rule: code?.replace(/^(.+)\((.+)\)$/, '$1/$2') ?? 'syntax',
    severity: severity === 'error' ? 'error' : 'warning',
    message,
  }));
}

/** Ruff knows no severities: what the configuration selects is an error. */
async function lintPython(config) {
  const { default: ruff } = await import('@astral-sh/ruff-wasm-nodejs');
  const workspace = new ruff.Workspace(JSON.parse(readFileSync(config, 'utf8')), ruff.PositionEncoding.Utf32);
  return studentFiles(new Set(['.py'])).flatMap((file) =>
    workspace.check(readFileSync(file, 'utf8')).map(({ code, message, start_location: start }) => ({
      file,
      line: start.row,
      rule: code ?? 'syntax',
      severity: 'error',
      message,
    })),
  );
}

const [language, config] = process.argv.slice(2);
const findings = language === 'javascript' ? await lintJavaScript(config) : await lintPython(config);
const sorted = findings
  .map((finding) => ({ ...finding, message: finding.message.slice(0, maxMessageLength) }))
  .toSorted((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
for (const { file, line, rule, severity, message } of sorted) console.log(`${file}:${line} ${severity} ${rule} ${message}`);
writeFileSync(reportDescriptor, JSON.stringify(sorted.slice(0, maxFindings)));
