import { expect, test } from '@jest/globals';
import { dependencyNotes } from '../../src/sandbox/dependency-notes.ts';

const file = (path: string, content: string) => ({ path, content: Buffer.from(content) });

test('dependencies beyond the starter’s are named', () => {
  const starter = [file('package.json', '{"dependencies": {"chalk": "1"}}'), file('requirements.txt', 'attrs\n')];
  const submitted = [
    file('package.json', '{"dependencies": {"chalk": "2", "lodash": "4"}, "devDependencies": {"tap": "1"}}'),
    file('requirements.txt', '# mine\nattrs==1\nrequests >= 2 ; python_version > "3"\n-r more.txt\n'),
  ];
  expect(dependencyNotes(starter, submitted)).toEqual([
    'Dependencies of your package.json are not installed: lodash, tap',
    'Dependencies of your requirements.txt are not installed: requests',
  ]);
});

test.each(['{"dependencies": {"chalk": "1"}}', 'no JSON', '[]', '{"dependencies": ["a"]}', '{"dependencies": null}'])(
  'nothing is said of %s',
  (manifest) => {
    expect(dependencyNotes([file('package.json', '{"dependencies": {"chalk": "1"}}')], [file('package.json', manifest)])).toEqual(
      [],
    );
  },
);

test('a long list is cut', () => {
  const names = Array.from({ length: 30 }, (_, index) => `p${index}`);
  expect(dependencyNotes([], [file('requirements.txt', names.join('\n'))])[0]).toMatch(/: p0, .*, p9 and 20 more$/);
});

test('what the exercise has installed is not said to be missing', () => {
  const submitted = [
    file('package.json', '{"dependencies": {"@scope/chalk": "2", "lodash": "4"}}'),
    file('requirements.txt', 'Zope_Interface\nrequests\n'),
  ];
  expect(dependencyNotes([], submitted, ['@scope/chalk@5.0.0', 'zope.interface@6.0'])).toEqual([
    'Dependencies of your package.json are not installed: lodash',
    'Dependencies of your requirements.txt are not installed: requests',
  ]);
});
