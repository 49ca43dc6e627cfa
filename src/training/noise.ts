import { UserError } from '../backend/errors.js';
import { normal, type RandomKey, uniform } from '../backend/random.js';

/**
 * Noise added to training images. Gaussian noise, wide enough to matter, is what makes good
 * samples; uniform noise of one grey level makes the density that of the discrete image, and is for
 * likelihood (TarFlow, section 3.2).
 */
export type Noise = { kind: 'gaussian'; sigma: number } | { kind: 'uniform' };

/**
 * Checks a noise law.
 * @throws UserError for an unknown kind, or a deviation that is not above 0
 */
export function checkNoise(noise: Noise): void {
  if (noise.kind === 'uniform') return;
  if (noise.kind !== 'gaussian') {
    throw new UserError(
      `Unknown noise '${(noise as { kind: string }).kind}'`,
      'Expected gaussian or uniform',
    );
  }
  if (!(Number.isFinite(noise.sigma) && noise.sigma > 0)) {
    throw new UserError(`The noise's sigma is ${noise.sigma}`, 'Expected a number above 0');
  }
}

/**
 * Noisy images on the scale [−1, 1] from pixels 0 … 255: k/127.5 − 1 + σε, or 2(k + u)/256 − 1.
 */
export function noisyImages(pixels: Uint8Array, noise: Noise, key: RandomKey): Float32Array {
  if (noise.kind === 'uniform') {
    const images = uniform(key, pixels.length);
    for (let i = 0; i < images.length; i++) {
      images[i] = ((pixels[i] as number) + (images[i] as number)) / 128 - 1;
    }
    return images;
  }
  const images = normal(key, pixels.length);
  for (let i = 0; i < images.length; i++) {
    images[i] = (pixels[i] as number) / 127.5 - 1 + noise.sigma * (images[i] as number);
  }
  return images;
}
