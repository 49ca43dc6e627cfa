import { expect, test } from 'vitest';
import { flip } from '../../../src/training/batches/flip.js';

test('an image is mirrored, row by row, and its neighbours are not', () => {
  const image = { channels: 2, height: 2, width: 3 };
  const one = Array.from({ length: 12 }, (_, index) => index);
  const mirrored = [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9];
  const values = Float32Array.from([...one, ...one, ...one]);
  flip(values, image, 12);
  expect([...values]).toEqual([...one, ...mirrored, ...one]);
});
