import { UserError } from '../backend/errors.js';
import { foldIn, normal, type RandomKey, randomKey } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import {
  type DataSource,
  type LatentSet,
  labelBatch,
  type WritableLatents,
} from '../data/index.js';
import { batchTensor } from '../data/reading.js';
import { sizeOf } from '../data/source.js';
import { ability } from '../flow/flow.js';
import type { Model } from '../flow/model.js';
import { type AutoencodeOptions, encode } from './autoencode.js';

export interface EncodeDatasetOptions extends AutoencodeOptions {
  /** The first images; default all. */
  count?: number;
  /**
   * What latents are multiplied by. Default: what the autoencoder says, or else 1/deviation over all
   * their numbers. All splits of a data set need the same.
   */
  scale?: number | undefined;
  /** Seed of a draw from each posterior. Default: its mean is taken. */
  draw?: number | undefined;
}

/**
 * The latents of a data set, scaled to unit variance, with its labels and captions: what `writeLatents`
 * writes, and flows are trained on. All latents are in memory; images are read as they are needed.
 *
 * @throws UserError where the model is no autoencoder, or the images do not fit it; the signal's reason
 *   where it stops the computation
 */
export async function encodeDataset(
  model: Model,
  data: DataSource,
  options: EncodeDatasetOptions = {},
): Promise<LatentSet> {
  const found = ability(model.family, 'autoencoder');
  const facts = factsOf(model, data, options);
  const latents = new Float32Array(facts.labels.length * sizeOf(facts.image));
  const captions: string[] = [];
  let filled = 0;
  for await (const part of encodedParts(model, data, options)) {
    latents.set(part.latents, filled);
    filled += part.latents.length;
    captions.push(...part.captions);
  }
  const scale = options.scale ?? found.scale(model.config) ?? 1 / deviation(latents, data.name);
  return {
    ...facts,
    latents: latents.map((value) => value * scale),
    scale,
    ...(captions.length === facts.labels.length && { captions }),
  };
}

/**
 * The same for `writeLatents`, encoded while they are written, so that there may be more than fit into
 * memory. It needs to know the scale, and leaves captions out.
 *
 * @throws UserError where the model is no autoencoder, or the images do not fit it; while they are
 *   written the signal's reason, where it stops the computation
 */
export function encodedWhileWritten(
  model: Model,
  data: DataSource,
  options: EncodeDatasetOptions & { scale: number },
): WritableLatents {
  const { scale } = options;
  async function* scaled(): AsyncGenerator<Float32Array> {
    for await (const { latents } of encodedParts(model, data, options)) {
      yield latents.map((value) => value * scale);
    }
  }
  return { ...factsOf(model, data, options), scale, latents: scaled };
}

/** What is known of latents before any is there. */
function factsOf(
  model: Model,
  data: DataSource,
  { count = data.length }: EncodeDatasetOptions,
): Omit<LatentSet, 'latents' | 'captions' | 'scale'> {
  const { name, classes, licence, length } = data;
  const indices = Array.from({ length: Math.min(count, length) }, (_, i) => i);
  return {
    image: ability(model.family, 'autoencoder').latents(model.config, data.image),
    labels: labelBatch(data, indices),
    ...{ name: `${name} latents`, classes, licence },
  };
}

/** Latents batch by batch, on the autoencoder's own scale, with the captions of their images. */
async function* encodedParts(
  model: Model,
  data: DataSource,
  options: EncodeDatasetOptions,
): AsyncGenerator<{ latents: Float32Array; captions: readonly string[] }> {
  const { draw, onProgress, signal, batchSize = 64, mode } = options;
  const count = Math.min(options.count ?? data.length, data.length);
  const key = draw === undefined ? undefined : foldIn(randomKey(draw), 'posterior');
  for (let first = 0; first < count; first += batchSize) {
    const indices = Array.from({ length: Math.min(batchSize, count - first) }, (_, i) => first + i);
    const raw = await data.read(indices);
    const images = batchTensor(raw);
    const { mean, logVariance } = await encode(model, images, {
      ...{ mode, ...(signal && { signal }) },
    }).finally(() => images.dispose());
    let latents: Float32Array;
    try {
      latents = drawn({ mean, logVariance }, key, indices);
    } finally {
      tf.dispose([mean, logVariance]);
    }
    yield { latents, captions: raw.captions ?? [] };
    onProgress?.(first + indices.length);
  }
}

/** Means, or with a key draws that depend on it and on the images' numbers alone. */
function drawn(
  { mean, logVariance }: { mean: tf.Tensor4D; logVariance: tf.Tensor4D },
  key: RandomKey | undefined,
  indices: readonly number[],
): Float32Array {
  const means = mean.dataSync<'float32'>();
  if (!key) return means;
  const logVariances = logVariance.dataSync();
  const size = means.length / indices.length;
  return Float32Array.from(
    indices.flatMap((index, place) => {
      const noise = normal(foldIn(key, index), size);
      return Array.from(noise, (value, i) => {
        const at = place * size + i;
        return (means[at] as number) + value * Math.exp((logVariances[at] as number) / 2);
      });
    }),
  );
}

/** Over all numbers, about their mean. */
function deviation(values: Float32Array, name: string): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const found = Math.sqrt(square / values.length);
  if (found > 0 && Number.isFinite(found)) return found;
  throw new UserError(
    `The latents of ${name} have the deviation ${found}`,
    'Take an autoencoder that is trained',
  );
}
