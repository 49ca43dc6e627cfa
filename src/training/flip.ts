import { type RandomKey, uniform } from '../backend/random.js';
import type { ImageSize } from '../data/source.js';

/**
 * Mirrors each image of a batch left to right with probability ½, in place.
 *
 * @param pixels (batch, channels, height, width), row by row
 */
export function flipAtRandom(pixels: Uint8Array, image: ImageSize, key: RandomKey): void {
  const { channels, height, width } = image;
  const size = channels * height * width;
  const draws = uniform(key, pixels.length / size);
  draws.forEach((draw, sample) => {
    if (draw < 0.5) return;
    const first = sample * size;
    for (let row = first; row < first + size; row += width) {
      pixels.subarray(row, row + width).reverse();
    }
  });
}
