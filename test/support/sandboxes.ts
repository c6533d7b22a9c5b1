import { probeSandboxes } from '../../src/sandbox/choose.ts';

/** The sandboxes of this machine; in CI each must be there, elsewhere a missing one is skipped with its reason. */
export async function sandboxesToTest(): Promise<{ kind: 'docker' | 'bubblewrap'; reason: string | null }[]> {
  const probes = await probeSandboxes();
  return probes.map(({ kind, usable, reason }) => ({ kind, reason: usable || process.env['CI'] !== undefined ? null : reason }));
}
