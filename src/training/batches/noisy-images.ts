import type { Conditioned } from '../../conditions/context.js';
import { mixtureRows } from '../../conditions/labels.js';
import { at, UserError } from '../../core/errors.js';
import { foldIn, normalInto, type RandomKey, uniformInto } from '../../core/random.js';
import { type ImageSize, type RawBatch, sizeOf } from '../../data/source.js';
import type { FeedSettings, Feeds } from '../../flow/model.js';

/** Noise that is added to training images, see `TrainingSettings`. An autoencoder and a classifier take none. */
export type Noise = FeedSettings['noise'];

/**
 * Noisy images on the scale [−1, 1] from pixels k of 0 … 255: k/127.5 − 1 + σε with ε standard normal, or
 * 2(k + u)/256 − 1 with u uniform in [0, 1); without noise k/127.5 − 1. Latents are taken as they are,
 * x + σε or x. The order of `values` is kept.
 *
 * @throws UserError for latents with uniform noise
 */
export function noisyImages(
  values: Uint8Array | Float32Array,
  noise: Noise,
  key: RandomKey,
): Float32Array {
  const images = new Float32Array(values.length);
  noisyInto(images, values, 0, values.length, noise, key);
  return images;
}

/** {@link noisyImages} of `count` values from `first` on, written to the same places of `out`. */
function noisyInto(
  out: Float32Array,
  values: Uint8Array | Float32Array,
  first: number,
  count: number,
  noise: Noise,
  key: RandomKey,
): void {
  const grey = values instanceof Uint8Array;
  const end = first + count;
  if (noise.kind === 'uniform') {
    if (!grey) {
      throw new UserError(
        'Latents came with uniform noise, which is of grey levels',
        'Expected noise=gaussian:SIGMA or none',
      );
    }
    uniformInto(key, out, first, count);
    for (let i = first; i < end; i++) {
      out[i] = ((values[i] as number) + (out[i] as number)) / 128 - 1;
    }
    return;
  }
  if (noise.kind === 'gaussian') normalInto(key, out, first, count);
  else out.fill(0, first, end);
  const sigma = noise.kind === 'gaussian' ? noise.sigma : 0;
  const [scale, shift] = grey ? [127.5, 1] : [1, 0];
  for (let i = first; i < end; i++) {
    out[i] = (values[i] as number) / scale - shift + sigma * (out[i] as number);
  }
}

/**
 * What most objectives read: `images` (batch, channels, height, width) with noise, some of them
 * mirrored, and where the model has classes `classes` (batch, classes), mixtures of classes, some
 * of the labels dropped; where it reads captions `text` (batch, entries, width), their states, in the
 * place of dropped ones those of the empty caption. Latents are read as they are, with noise.
 *
 * @param keys one per sample; noise, flip and dropped label of a sample depend on its key alone
 * @throws UserError for a label that the model does not know, for samples without captions that the
 *   model reads, and for latents with uniform noise
 */
export function noisyImageFeeds(
  config: Conditioned,
  raw: RawBatch,
  keys: readonly RandomKey[],
  settings: FeedSettings,
): Feeds {
  const { values, image, labels } = raw;
  const size = sizeOf(image);
  const images = new Float32Array(values.length);
  keys.forEach((key, sample) => {
    const first = sample * size;
    noisyInto(images, values, first, size, settings.noise, foldIn(key, 'noise'));
    if (settings.flip && draw(foldIn(key, 'flip')) >= 0.5) flip(images, image, first);
  });
  const isDropped = (sample: number): boolean =>
    draw(foldIn(at(keys, sample), 'drop label')) < settings.dropLabel;
  if (config.text) return { images, text: keptCaptions(raw, isDropped) };
  if (config.classes === 0) return { images };
  const kept = labels.map((label, sample) => (isDropped(sample) ? -1 : label));
  return { images, classes: mixtureRows(kept, kept.length, config) };
}

/** The states of captions, in the place of dropped ones those of the empty caption. */
function keptCaptions(
  { text, count }: RawBatch,
  isDropped: (sample: number) => boolean,
): Float32Array {
  if (!text) {
    throw new UserError(
      'Samples without captions came for a model that reads them',
      'Take latents with a tensor text (openLatents)',
    );
  }
  const { states, empty } = text;
  const kept = Float32Array.from(states);
  for (let sample = 0; sample < count; sample++) {
    if (isDropped(sample)) kept.set(empty, sample * empty.length);
  }
  return kept;
}

const drawn = new Float32Array(1);

/** One number uniform in [0, 1). */
function draw(key: RandomKey): number {
  uniformInto(key, drawn, 0, 1);
  const [value = 0] = drawn;
  return value;
}

/**
 * Mirrors an image left to right, in place.
 *
 * @param values (…, channels, height, width), row by row
 * @param first where the image begins
 */
function flip(values: Float32Array, image: ImageSize, first: number): void {
  const { channels, height, width } = image;
  const end = first + channels * height * width;
  for (let row = first; row < end; row += width) values.subarray(row, row + width).reverse();
}
