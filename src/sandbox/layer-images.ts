import { pack } from 'tar-stream';
import { Readable } from 'node:stream';
import { type LayerFile, writeEntries } from '../layers/layer-tar.ts';
import type { DockerEngine } from './docker.ts';
import { follow, selectOptionalImage } from './engine-images.ts';
import { fetchLayer, layerKey, layerLifeMs, OncePerLayer } from './layer.ts';
import { SandboxError, type SandboxLayer } from './sandbox.ts';

const label = 'atelier.layer';

/** Images of dependency layers on one engine: the runner image with the layer's files on top. */
export class LayerImages {
  readonly #engine: DockerEngine;
  readonly #runnerImageId: string;
  readonly #once = new OncePerLayer();

  constructor(engine: DockerEngine, runnerImageId: string) {
    this.#engine = engine;
    this.#runnerImageId = runnerImageId;
  }

  /** Name of the image of a layer, whether it is there or not. */
  tagOf(key: string): string {
    const runner = this.#runnerImageId.replace(/^sha256:/, '').slice(0, 12);
    return `atelier-layer:${runner}-${layerKey({ key })}`;
  }

  /**
   * Makes the image where it is missing, without a network. Safe to call from several processes at once.
   *
   * @throws SandboxError
   */
  ensure(layer: SandboxLayer): Promise<void> {
    const tag = this.tagOf(layer.key);
    return this.#once.run(layer.key, async () => {
      try {
        if ((await selectOptionalImage(this.#engine, tag)) === null) await this.#build(tag, layer);
      } catch (error) {
        if (error instanceof SandboxError) throw error;
        const message = error instanceof Error ? error.message : String(error);
        throw new SandboxError(`the image of a dependency layer cannot be made: ${message}`, { cause: error, transient: true });
      }
    });
  }

  async #build(tag: string, layer: SandboxLayer): Promise<void> {
    const context = buildContext(this.#runnerImageId, await fetchLayer(layer));
    const options = { t: tag, labels: { [label]: layer.key }, networkmode: 'none', forcerm: true, nocache: true };
    await follow(this.#engine, await this.#engine.buildImage(context, options));
  }

  /** Removes those that were made long ago; one that containers are made of stays until they are gone. */
  async removeOld(now: Date): Promise<void> {
    const images = await this.#engine.listImages({ filters: { label: [label] } });
    const old = images.filter(({ Created }) => Created * 1000 < now.getTime() - layerLifeMs);
    for (const { Id, RepoTags } of old) {
      for (const name of [...(RepoTags ?? []), Id]) {
        await this.#engine
          .getImage(name)
          .remove()
          .catch(() => undefined);
      }
    }
  }
}

/** The files once more as our own tar: what an engine would make of a hostile one is no question then. */
function buildContext(runnerImageId: string, files: readonly LayerFile[]): Readable {
  const context = pack();
  context.entry({ name: 'Dockerfile' }, `FROM ${runnerImageId}\nCOPY layer/ /\n`);
  writeEntries(context, files, 'layer/');
  context.finalize();
  return Readable.from(context);
}
