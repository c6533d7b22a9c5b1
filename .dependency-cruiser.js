/**
 * The import directions of docs/architecture.md. Type-only imports are told apart where a layer may know another's shapes but not run it.
 *
 * Each rule reads: files of `layer` may import, of src/, only what `allowed` matches.
 */
const only = (layer, allowed, extra = {}) => ({
  name: `${layer}-imports`,
  severity: 'error',
  from: { path: `^src/${layer}/`, ...extra.from },
  to: { path: '^src/', pathNot: [`^src/${layer}/`, ...allowed.map((path) => `^src/${path}`)], ...extra.to },
});

const value = { dependencyTypesNot: ['type-only'] };
const packagesOtherThan = (allowed) => ({ path: '^(node_modules/|node:|[a-z_/]+$)', pathNot: allowed });

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    only('domain', []),
    { name: 'domain-is-pure', severity: 'error', from: { path: '^src/domain/' }, to: { pathNot: '^src/domain/' } },
    only('workflows', ['domain/'], { to: value }),
    only('workflows', ['domain/', 'activities/']),
    {
      name: 'workflows-run-in-temporals-sandbox',
      comment: 'a value import of anything else lands in the workflow bundle, silently',
      severity: 'error',
      from: { path: '^src/workflows/' },
      to: { ...packagesOtherThan('^node_modules/@temporalio/(workflow|common)/'), ...value },
    },
    only('activities', ['domain/', 'services/', 'sandbox/', 'git/', 'mail/', 'storage/'], { to: value }),
    only('activities', ['domain/', 'services/', 'sandbox/', 'git/', 'mail/', 'storage/', 'database/orm', 'temporal/']),
    only('services', ['domain/', 'database/', 'trace']),
    only('database', ['domain/']),
    only('layers', ['domain/', 'storage/']),
    only('sandbox', ['domain/', 'layers/layer-tar', 'embedded/process-identity']),
    only('git', ['domain/']),
    only('storage', []),
    only('assistants', []),
    only('mail', ['services/', 'trace']),
    only('temporal', ['domain/', 'workflows/contract', 'workflows/trace-header', 'trace'], { to: value }),
    only('temporal', ['domain/', 'workflows/', 'trace']),
    only(
      'api',
      ['services/', 'temporal/', 'domain/', 'git/', 'database/orm', 'assistants/assistant', 'config', 'logger', 'trace'],
      {
        from: { pathNot: '^src/api/server' },
      },
    ),
    only('embedded', ['config']),
    {
      name: 'contracts-are-shared',
      comment: 'the browser will import them',
      severity: 'error',
      from: { path: '^src/api/contract/' },
      to: { path: '^src/', pathNot: '^src/(api/contract|domain)/' },
    },
    {
      name: 'only-docker-ts-knows-dockerode',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/sandbox/(docker|image)\\.ts$' },
      to: { path: '^node_modules/(@types/)?dockerode' },
    },
    { name: 'nothing-imports-tests', severity: 'error', from: { path: '^(src|scripts)/' }, to: { path: '^test/' } },
    {
      name: 'nothing-imports-programs',
      comment: 'main, servers and workers are started, never imported',
      severity: 'error',
      from: {},
      to: { path: '^src/(main|command-line|api/server|workers/(submissions|judging|notifications|migrate))\\.ts$' },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: ['\\.d\\.ts$', '^scripts/', '^test/', '^src/domain/'] },
      to: {},
    },
    {
      name: 'not-to-dev-dep',
      severity: 'error',
      from: { path: '^src' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
