import { describe, expect, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import { normal, randomKey } from '../../src/backend/random.js';
import { tf } from '../../src/backend/tf.js';
import {
  type ConvolutionParameters,
  convolution,
  convolutionSpecs,
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
