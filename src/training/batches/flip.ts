import type { ImageSize } from '../../data/source.js';

/**
 * Mirrors an image left to right, in place.
 *
 * @param values (…, channels, height, width), row by row
 * @param first where the image begins
 */
export function flip(values: Float32Array, image: ImageSize, first: number): void {
  const { channels, height, width } = image;
  const end = first + channels * height * width;
  for (let row = first; row < end; row += width) values.subarray(row, row + width).reverse();
}
