import { foldIn, type RandomKey, uniformInto } from '../../backend/random.js';
import { mixtureRows } from '../../conditions/labels.js';
import { type RawBatch, sizeOf } from '../../data/source.js';
import type { FeedSettings, Feeds, ModelConfig } from '../../flow/model.js';
import { flip } from './flip.js';
import { noisyInto } from './noise.js';

/**
 * What most objectives read: `images` (batch, channels, height, width) with noise, some of them
 * mirrored, and where the model has classes `classes` (batch, classes), mixtures of classes, some
 * of the labels dropped. Latents are read as they are, with noise.
 *
 * @param keys one per sample; noise, flip and dropped label of a sample depend on its key alone
 * @throws UserError for a label that the model does not know, and for latents with uniform noise
 */
export function noisyImageFeeds(
  config: Pick<ModelConfig, 'classes'>,
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
  if (config.classes === 0) return { images };
  const kept = labels.map((label, sample) => {
    const key = foldIn(keys[sample] as RandomKey, 'drop label');
    return draw(key) < settings.dropLabel ? -1 : label;
  });
  return { images, classes: mixtureRows(kept, kept.length, config) };
}

const drawn = new Float32Array(1);

/** One number uniform in [0, 1). */
function draw(key: RandomKey): number {
  uniformInto(key, drawn, 0, 1);
  return drawn[0] as number;
}
