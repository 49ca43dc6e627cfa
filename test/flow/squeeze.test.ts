import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { tf } from '../../src/core/tf.js';
import { squeeze, unsqueeze } from '../../src/flow/coupling.js';

beforeAll(async () => {
  await startEngine();
});

test('inside a squeezed pixel the row is slowest, then the column, then the channel', () => {
  tf.tidy(() => {
    const x = tf.reshape(tf.range(0, 16), [1, 2, 4, 2]);
    expect(squeeze(x, [2, 2]).arraySync()).toEqual([
      [
        [
          [0, 1, 2, 3, 8, 9, 10, 11],
          [4, 5, 6, 7, 12, 13, 14, 15],
        ],
      ],
    ]);
  });
});

test.each([
  [2, 2],
  [2, 1],
  [1, 2],
  [1, 1],
] as const)('pixels squeezed by %i×%i are put back where they were', (rows, columns) => {
  tf.tidy(() => {
    const x = tf.reshape(tf.range(0, 48), [2, 4, 2, 3]);
    const squeezed = squeeze(x, [rows, columns]);
    expect(squeezed.shape).toEqual([2, 4 / rows, 2 / columns, 3 * rows * columns]);
    expect(unsqueeze(squeezed, [rows, columns]).arraySync()).toEqual(x.arraySync());
  });
});
