import type { Conditioned } from '../../conditions/given.js';
import { mixtureRows } from '../../conditions/labels.js';
import { UserError } from '../../core/errors.js';
import { foldIn, type RandomKey, uniformInto } from '../../core/random.js';
import { type RawBatch, sizeOf } from '../../data/source.js';
import type { FeedSettings, Feeds } from '../../flow/model.js';
import { flip } from './flip.js';
import { noisyInto } from './noise.js';

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
    draw(foldIn(keys[sample] as RandomKey, 'drop label')) < settings.dropLabel;
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
  return drawn[0] as number;
}
