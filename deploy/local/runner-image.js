/** Makes the runner image of this image's toolchain on the engine that it reaches, on a base that is there already. */
import { dockerEngine } from './src/sandbox/docker.ts';
import { ensureRunnerImage, runnerImageTag } from './src/sandbox/image.ts';

const [, , baseImage] = process.argv;
await ensureRunnerImage({ engine: dockerEngine(), baseImage, onProgress: (message) => console.log(message) });
console.log(runnerImageTag());
