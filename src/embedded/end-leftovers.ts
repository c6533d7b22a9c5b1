import { readLauncherConfig } from './launcher-config.ts';
import { endLeftovers } from './supervisor.ts';

/** Run by scripts/start.js when the launcher was killed and could stop nothing itself. */
const { dataFolder } = readLauncherConfig(process.env);
const ended = await endLeftovers(dataFolder);
console.error(
  `The launcher was killed. What it had started was stopped: ${ended.join(', ') || 'nothing was left'}. All data is kept.`,
);
