import config, { project } from './jest.config.js';

/** `npm run test:chaos`: the reliability promises in full, by hand before a release; `npm test` has them in short. */
/** @type {import('jest').Config} */
export default { ...config, projects: [project('chaos')], maxWorkers: 1 };
