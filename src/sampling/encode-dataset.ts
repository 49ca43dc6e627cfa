import { UserError } from '../backend/errors.js';
import { foldIn, normal, type RandomKey, randomKey } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import { type DataSource, imagesTensor, type LatentSet, labelBatch } from '../data/index.js';
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
  const { scale: given, draw, onProgress, signal, batchSize = 64, mode } = options;
  const found = ability(model.family, 'autoencoder');
  const image = found.latents(model.config, data.image);
  const size = sizeOf(image);
  const count = Math.min(options.count ?? data.length, data.length);
  const latents = new Float32Array(count * size);
  const captions: string[] = [];
  const key = draw === undefined ? undefined : foldIn(randomKey(draw), 'posterior');
  for (let first = 0; first < count; first += batchSize) {
    const indices = Array.from({ length: Math.min(batchSize, count - first) }, (_, i) => first + i);
    captions.push(...((await data.read(indices)).captions ?? []));
    const images = await imagesTensor(data, indices);
    try {
      const posterior = await encode(model, images, { mode, ...(signal && { signal }) });
      latents.set(drawn(posterior, key, indices), first * size);
      tf.dispose([posterior.mean, posterior.logVariance]);
    } finally {
      images.dispose();
    }
    onProgress?.(first + indices.length);
  }
  const scale = given ?? found.scale(model.config) ?? 1 / deviation(latents, data.name);
  return {
    latents: latents.map((value) => value * scale),
    ...{ image, scale, classes: data.classes },
    ...{ name: `${data.name} latents`, licence: data.licence },
    labels: labelBatch(
      data,
      Array.from({ length: count }, (_, i) => i),
    ),
    ...(captions.length === count && { captions }),
  };
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
