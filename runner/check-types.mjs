/**
 * `node check-types.mjs FILE`: checks the types of a program and of what it imports, and that Node can run it as it is: it takes types
 * away and translates nothing. `node check-types.mjs --version` prints what checks and what runs it.
 */
import { readFileSync } from 'node:fs';

const modules = `${import.meta.dirname}/node_modules`;
const [, , file] = process.argv;

if (file === '--version') {
  const { version } = JSON.parse(readFileSync(`${modules}/typescript/package.json`, 'utf8'));
  console.log(`TypeScript ${version}, Node.js ${process.version.slice(1)}`);
} else {
  process.argv.splice(
    2,
    1,
    // A configuration of the student's decides nothing.
    ...['--ignoreConfig', '--noEmit', '--pretty', 'false', '--skipLibCheck'],
    ...['--strict', '--erasableSyntaxOnly', '--verbatimModuleSyntax', '--allowImportingTsExtensions'],
    ...['--target', 'esnext', '--module', 'preserve', '--moduleDetection', 'force', '--lib', 'esnext'],
    ...['--typeRoots', `${modules}/@types`, '--types', 'node'],
    file,
  );
  await import(`${modules}/typescript/lib/tsc.js`);
}
