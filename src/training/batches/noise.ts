import { UserError } from '../../core/errors.js';
import { normalInto, type RandomKey, uniformInto } from '../../core/random.js';
import type { FeedSettings } from '../../flow/model.js';

/**
 * Noise that is added to training images. Gaussian noise has the standard deviation `sigma`, on the scale
 * [−1, 1] of the images (of latents, on their own); wide enough to matter, it is what makes good samples.
 * Uniform noise of one grey level makes the density that of the discrete image, and is for likelihood
 * (TarFlow, section 3.2). An autoencoder and `trainClassifier` take none.
 */
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
export function noisyInto(
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
