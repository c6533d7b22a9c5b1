import type { DockerEngine } from './docker.ts';

/** Without a way out a pull may hang instead of failing; nothing at all within this time counts as unreachable. */
const firstPullAnswerMs = 20_000;

/** Id of the image `name`; null where the engine has none. */
export async function selectOptionalImage(engine: DockerEngine, name: string): Promise<string | null> {
  try {
    return (await engine.getImage(name).inspect()).Id;
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error && error.statusCode === 404) return null;
    throw error;
  }
}

/** Waits for the end of a build, pull or import. The engine answers 200 and tells of a failure in the stream. */
export async function follow(engine: DockerEngine, output: NodeJS.ReadableStream): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lastLines: string[] = [];
  engine.modem.followProgress(
    output,
    (error: Error | null) =>
      error === null ? resolve() : reject(new Error([...lastLines, error.message].join('\n'), { cause: error })),
    (event: { stream?: string }) => {
      if (event.stream !== undefined) lastLines.push(event.stream.trimEnd());
      lastLines.splice(0, lastLines.length - 10);
    },
  );
  return promise;
}

/** Pulls an image. @throws an error where the registry is out of reach, also where it gives no answer at all. */
export async function pull(engine: DockerEngine, image: string): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('no answer from the registry')), firstPullAnswerMs);
  try {
    const output = await Promise.race([engine.pull(image), late.promise]);
    output.once('data', () => clearTimeout(timer));
    await Promise.race([follow(engine, output), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
