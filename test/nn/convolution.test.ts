import { describe, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { normal, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import {
  type ConvolutionParameters,
  convolution,
  convolutionSpecs,
  doubled,
  halvingConvolution,
} from '../../src/nn/convolution.js';
import { built } from '../../src/nn/specs.js';

const [batch, height, width, inputs, outputs] = [2, 4, 5, 3, 2];
const x = normal(randomKey(1), batch * height * width * inputs);
const bias = [0.5, -1];

/** By the definition, with zeros beyond the border. */
function expected(side: number, weight: ArrayLike<number>): number[] {
  const reach = (side - 1) / 2;
  const sums: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        for (let o = 0; o < outputs; o++) {
          let sum = bias[o]!;
          for (let k = 0; k < side; k++) {
            for (let l = 0; l < side; l++) {
              const [row, column] = [i + k - reach, j + l - reach];
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              for (let c = 0; c < inputs; c++) {
                const pixel = ((b * height + row) * width + column) * inputs + c;
                sum += x[pixel]! * weight[((k * side + l) * inputs + c) * outputs + o]!;
              }
            }
          }
          sums.push(sum);
        }
      }
    }
  }
  return sums;
}

const parameters = (side: number) => convolutionSpecs(randomKey(2), side, inputs, outputs);

/** On the engine that runs: a convolution, and the gradients of the sum of its squares. */
function computed(side: number): { y: number[]; gradients: number[] } {
  const before = tf.memory().numTensors;
  const numbers = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];
  const found = { y: [] as number[], gradients: [] as number[] };
  tf.tidy(() => {
    const { weight } = built<ConvolutionParameters>(parameters(side));
    const image = tf.tensor4d(x, [batch, height, width, inputs]);
    const apply = (pixels: tf.Tensor, kernel: tf.Tensor): tf.Tensor4D =>
      convolution(pixels as tf.Tensor4D, {
        weight: kernel as tf.Tensor4D,
        bias: tf.tensor1d(bias),
      });
    found.y = numbers(apply(image, weight));
    const squares = (pixels: tf.Tensor, kernel: tf.Tensor): tf.Tensor =>
      tf.sum(tf.square(apply(pixels, kernel)));
    found.gradients = tf.grads(squares)([image, weight]).flatMap(numbers);
  });
  expect(tf.memory().numTensors).toBe(before);
  return found;
}

/** The largest difference, relative to numbers above 1. */
function distance(left: readonly number[], right: readonly number[]): number {
  expect(left).toHaveLength(right.length);
  return Math.max(...left.map((value, i) => Math.abs(value - right[i]!) / (1 + Math.abs(value))));
}

describe.each([1, 3, 5])('a convolution of side %i', (side) => {
  test('is that of the definition, on every engine with the same gradients', async () => {
    await startEngine({ engine: 'tensorflow' });
    const native = computed(side);
    expect(distance(native.y, expected(side, parameters(side).weight.values()))).toBeLessThan(1e-5);
    await startEngine({ engine: 'wasm' });
    const wasm = computed(side);
    expect(distance(wasm.y, native.y)).toBeLessThan(1e-5);
    expect(distance(wasm.gradients, native.gradients)).toBeLessThan(1e-5);
  });
});

/** By the definition: rows and columns 2i to 2i + 2, with zeros beyond the last. */
function expectedHalves(pixels: Float32Array, weight: ArrayLike<number>): number[] {
  const [rows, columns] = [4, 6];
  const sums: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < rows; i += 2) {
      for (let j = 0; j < columns; j += 2) {
        for (let o = 0; o < outputs; o++) {
          let sum = bias[o]!;
          for (let k = 0; k < 9; k++) {
            const [row, column] = [i + Math.floor(k / 3), j + (k % 3)];
            if (row >= rows || column >= columns) continue;
            for (let c = 0; c < inputs; c++) {
              const pixel = ((b * rows + row) * columns + column) * inputs + c;
              sum += pixels[pixel]! * weight[(k * inputs + c) * outputs + o]!;
            }
          }
          sums.push(sum);
        }
      }
    }
  }
  return sums;
}

test('a convolution that halves is that of the definition, on every engine with the same gradients', async () => {
  const pixels = normal(randomKey(3), batch * 4 * 6 * inputs);
  const halves = (): { y: number[]; gradients: number[] } =>
    tf.tidy(() => {
      const { weight } = built<ConvolutionParameters>(parameters(3));
      const image = tf.tensor4d(pixels, [batch, 4, 6, inputs]);
      const apply = (x: tf.Tensor, kernel: tf.Tensor): tf.Tensor =>
        halvingConvolution(x as tf.Tensor4D, {
          weight: kernel as tf.Tensor4D,
          bias: tf.tensor1d(bias),
        });
      const y = apply(image, weight);
      expect(y.shape).toEqual([batch, 2, 3, outputs]);
      const squares = (x: tf.Tensor, kernel: tf.Tensor) => tf.sum(tf.square(apply(x, kernel)));
      const gradients = tf.grads(squares)([image, weight]);
      return { y: [...y.dataSync()], gradients: gradients.flatMap((one) => [...one.dataSync()]) };
    });
  await startEngine({ engine: 'tensorflow' });
  const native = halves();
  const expectedOnes = expectedHalves(pixels, parameters(3).weight.values());
  expect(distance(native.y, expectedOnes)).toBeLessThan(1e-5);
  await startEngine({ engine: 'wasm' });
  const wasm = halves();
  expect(distance(wasm.y, native.y)).toBeLessThan(1e-5);
  expect(distance(wasm.gradients, native.gradients)).toBeLessThan(1e-5);
});

test('doubling repeats each pixel four times, and its gradient adds the four', () => {
  tf.tidy(() => {
    const x = tf.tensor4d(normal(randomKey(1), 2 * 3 * 4 * 2), [2, 3, 4, 2]);
    const expected = tf.image.resizeNearestNeighbor(x, [6, 8]);
    expect(doubled(x).dataSync()).toEqual(expected.dataSync());
    const weights = tf.tensor4d(normal(randomKey(2), expected.size), [2, 6, 8, 2]);
    const gradient = tf.grad((one) => tf.sum(tf.mul(doubled(one as tf.Tensor4D), weights)))(x);
    const sums = tf.mul(tf.avgPool(weights, 2, 2, 'valid'), 4);
    expect(tf.max(tf.abs(tf.sub(gradient, sums))).dataSync()[0]).toBeLessThan(1e-6);
  });
});
