/** Makes the runner image of this image's toolchain on the engine that it reaches, on a base that is there already. */
import { readRunnerSettings } from './src/config.ts';
import { dockerEngine } from './src/sandbox/docker.ts';
import { ensureRunnerImage, runnerImageTag } from './src/sandbox/image.ts';

const runner = readRunnerSettings(process.env);
await ensureRunnerImage({ engine: dockerEngine(), runner, onProgress: (message) => console.log(message) });
console.log(runnerImageTag(runner));
