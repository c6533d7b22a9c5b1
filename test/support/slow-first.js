import { statSync } from 'node:fs';

/**
 * Order of the test files: those that start whole academies first, then the largest. What takes five minutes would else run alone at the
 * end, as a clean clone has no record of how long anything took.
 */
export default class SlowFirst {
  sort(tests) {
    const isSlow = ({ path }) => (path.includes('/end-to-end/') ? 1 : 0);
    const size = ({ path }) => statSync(path).size;
    const isSlowest = ({ path }) => (path.endsWith('/promises.test.ts') ? 1 : 0);
    return tests.toSorted((a, b) => isSlowest(b) - isSlowest(a) || isSlow(b) - isSlow(a) || size(b) - size(a));
  }

  allFailedTests(tests) {
    return tests;
  }

  cacheResults() {}
}
