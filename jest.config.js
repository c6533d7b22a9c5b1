/** Suites by layer: each project names what real parts it needs; scripts/test.js brings them up. */
export const project = (displayName) => ({
  displayName,
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  testMatch: [`<rootDir>/test/${displayName}/**/*.test.ts`],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2024', keepClassNames: true },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
});

/** @type {import('jest').Config} */
export default {
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  projects: [
    'domain',
    'git',
    'services',
    'api',
    'workflows',
    'activities',
    'mail',
    'sandbox',
    'content',
    'layers',
    'scripts',
    'end-to-end',
  ].map(project),
  maxWorkers: 2,
  testSequencer: '<rootDir>/test/support/slow-first.js',
  // Each test file leaks about 11 MB of heap in ES module mode (Node issue 63186).
  workerIdleMemoryLimit: '600MB',
  testTimeout: 30_000,
};
