import { expect, test } from 'vitest';
import { randomKey } from '../../src/backend/random.js';
import { flipAtRandom } from '../../src/training/flip.js';

test('images are mirrored whole, row by row, about half of them', () => {
  const image = { channels: 2, height: 2, width: 3 };
  const one = Array.from({ length: 12 }, (_, index) => index);
  const mirrored = [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9];
  const pixels = Uint8Array.from({ length: 400 * 12 }, (_, index) => index % 12);
  flipAtRandom(pixels, image, randomKey(3));
  let flipped = 0;
  for (let sample = 0; sample < 400; sample++) {
    const got = Array.from(pixels.subarray(sample * 12, (sample + 1) * 12));
    if (got[0] === 2) flipped++;
    expect(got).toEqual(got[0] === 2 ? mirrored : one);
  }
  expect(Math.abs(flipped - 200)).toBeLessThan(50);
});
