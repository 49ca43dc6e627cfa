import { Matrix } from 'ml-matrix';
import { describe, expect, test } from 'vitest';
import { normal, randomKey, tf } from '../../src/core/index.js';
import {
  type ActnormConvolutionParameters,
  actnormConvolution,
  actnormConvolutionSpecs,
} from '../../src/flow/actnorm-convolution.js';
import { squeeze, unsqueeze } from '../../src/flow/coupling.js';
import { built } from '../../src/nn/specs.js';

const channels = 5;
const x = () => tf.tensor4d(normal(randomKey(2), 2 * 3 * 2 * channels), [2, 3, 2, channels]);
const specs = actnormConvolutionSpecs(randomKey(1), channels);
const permutation = () => built<tf.Tensor2D>(specs.permutation);

/** The matrix of the mix, column by column, from what it makes of unit vectors and of zero. */
function matrixOf(parameters: ActnormConvolutionParameters): Matrix {
  const points = tf.concat([tf.zeros([1, channels]), tf.eye(channels)]);
  const images = tf.reshape(points, [channels + 1, 1, 1, channels]);
  const { y } = actnormConvolution(images, parameters, permutation());
  const [zero, ...columns] = tf.reshape(y, [channels + 1, channels]).arraySync() as number[][];
  return new Matrix(columns.map((column) => column.map((value, i) => value - zero![i]!)));
}

describe('a mix of channels', () => {
  test('starts as a rotation', () => {
    tf.tidy(() => {
      const matrix = matrixOf(built<ActnormConvolutionParameters>(specs.parameters));
      const product = matrix.mmul(matrix.transpose());
      expect(product.sub(Matrix.eye(channels)).norm()).toBeLessThan(1e-5);
      expect(matrix.sub(Matrix.eye(channels)).norm()).toBeGreaterThan(1);
      const { logDet } = actnormConvolution(
        x(),
        built<ActnormConvolutionParameters>(specs.parameters),
        permutation(),
      );
      expect(logDet.dataSync()[0]).toBeCloseTo(0, 4);
    });
  });
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
