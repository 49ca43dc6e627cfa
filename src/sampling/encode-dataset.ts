import { checkCount, UserError } from '../core/errors.js';
import { foldIn, normal, type RandomKey, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import {
  type DataSource,
  type LatentSet,
  labelBatch,
  type WritableLatents,
} from '../data/index.js';
import { batchTensor } from '../data/reading.js';
import { sizeOf } from '../data/source.js';
import type { Model } from '../flow/model.js';
import { ability } from '../flow/model.js';
import { type AutoencodeOptions, encode } from './autoencode.js';

/** An image of a data set, as it is or mirrored. */
export interface EncodedImage {
  /** Its number in the data set. */
  index: number;
  /** Left and right exchanged. */
  mirrored: boolean;
}

export interface EncodeDatasetOptions extends AutoencodeOptions {
  /** The first images; default all. Not together with `images`. */
  count?: number;
  /** These images, in this order; an image may come again mirrored. Default: those of `count`. */
  images?: readonly EncodedImage[];
  /**
   * What latents are multiplied by. Default: what the autoencoder says, or else 1/deviation over all
   * their numbers. All splits of a data set need the same.
   */
  scale?: number | undefined;
  /** Seed of a draw from each posterior. Default: its mean is taken. */
  draw?: number | undefined;
  /**
   * Images read at a time, of which the encoder takes as many together as its memory limit allows.
   * Default 64.
   */
  batchSize?: number;
}

/** Images read at a time where no number is asked for. */
const readTogether = 64;

/**
 * The latents of a data set, scaled to unit variance, with its labels and captions: what `writeLatents`
 * writes, and flows are trained on. All latents are in memory; images are read as they are needed.
 *
 * @throws UserError where the model is no autoencoder, the images do not fit it, no image is asked for, or
 *   the batch size is no whole number above 0; the signal's reason where it stops the computation
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
 * @throws UserError as {@link encodeDataset} does; the signal's reason while they are written
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

/** What is known of latents before any is there, checked. */
function factsOf(
  model: Model,
  data: DataSource,
  options: EncodeDatasetOptions,
): Omit<LatentSet, 'latents' | 'captions' | 'scale'> {
  const { name, classes, licence } = data;
  checkCount('The batch size', options.batchSize ?? readTogether);
  const indices = imagesOf(data, options).map(({ index }) => index);
  return {
    image: ability(model.family, 'autoencoder').latents(model.config, data.image),
    labels: labelBatch(data, indices),
    name: `${name} latents`,
    classes,
    licence,
  };
}

/** The images that are asked for. */
function imagesOf(
  { name, length }: DataSource,
  { count: asked, images }: EncodeDatasetOptions,
): readonly EncodedImage[] {
  if (images && asked !== undefined) {
    throw new UserError('Both count and images came', 'Give one of them');
  }
  const wanted =
    images ??
    Array.from({ length: Math.min(asked ?? length, length) }, (_, index) => ({
      index,
      mirrored: false,
    }));
  if (wanted.length > 0) return wanted;
  throw new UserError(`None of the ${length} images of ${name} is to be encoded`, 'Ask for some');
}

/** Latents batch by batch, on the autoencoder's own scale, with the captions of their images. */
async function* encodedParts(
  model: Model,
  data: DataSource,
  options: EncodeDatasetOptions,
): AsyncGenerator<{ latents: Float32Array; captions: readonly string[] }> {
  const { draw, onProgress, signal, batchSize = readTogether, mode } = options;
  const images = imagesOf(data, options);
  const key = draw === undefined ? undefined : foldIn(randomKey(draw), 'posterior');
  for (let first = 0; first < images.length; first += batchSize) {
    const batch = images.slice(first, first + batchSize);
    const raw = await data.read(batch.map(({ index }) => index));
    const pixels = tidy(() => asAsked(batchTensor(raw), batch));
    const { mean, logVariance } = await encode(model, pixels, { mode, signal }).finally(() =>
      pixels.dispose(),
    );
    const [means, logVariances] = [mean, logVariance].map((leaf) => leaf.dataSync<'float32'>());
    tf.dispose([mean, logVariance]);
    const latents = key ? drawn(means!, logVariances!, key, batch) : means!;
    yield { latents, captions: raw.captions ?? [] };
    onProgress?.((first + batch.length) / images.length);
  }
}

/** Images of which those that are asked for mirrored have left and right exchanged. */
function asAsked(images: tf.Tensor4D, asked: readonly EncodedImage[]): tf.Tensor4D {
  const which = asked.map(({ mirrored }) => mirrored);
  const mask = tf.tensor4d(which, [which.length, 1, 1, 1], 'bool');
  return tf.where(mask, tf.reverse(images, 3), images);
}

/** Draws of posteriors, which depend on a key and on which images they are alone. */
function drawn(
  means: Float32Array,
  logVariances: Float32Array,
  key: RandomKey,
  images: readonly EncodedImage[],
): Float32Array {
  const size = means.length / images.length;
  return Float32Array.from(
    images.flatMap(({ index, mirrored }, place) => {
      const own = foldIn(key, index);
      const noise = normal(mirrored ? foldIn(own, 'mirrored') : own, size);
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
