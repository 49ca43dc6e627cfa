import { foldIn, type RandomKey } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import { type Specs, uniforms } from './specs.js';

/** Weight (height, width, inputs, outputs) and bias (outputs) of a convolution. */
export type ConvolutionParameters = { weight: tf.Tensor4D; bias: tf.Tensor1D };

/**
 * A convolution that starts uniform: the weights with the deviation that keeps variances where a ReLU
 * follows (He et al. 2015, arXiv 1502.01852), the biases within ±1/√(what the kernel sees).
 *
 * @param side of the kernel
 */
export function convolutionSpecs(
  key: RandomKey,
  side: number,
  inputs: number,
  outputs: number,
): Specs<ConvolutionParameters> {
  const seen = side * side * inputs;
  return {
    weight: uniforms(foldIn(key, 'weight'), [side, side, inputs, outputs], Math.sqrt(6 / seen)),
    bias: uniforms(foldIn(key, 'bias'), [outputs], Math.sqrt(1 / seen)),
  };
}

/**
 * A convolution that keeps height and width: beyond the border the kernel sees zeros. The sides of
 * the kernel are odd.
 *
 * @param x (batch, height, width, inputs)
 * @returns (batch, height, width, outputs)
 */
export function convolution(x: tf.Tensor4D, { weight, bias }: ConvolutionParameters): tf.Tensor4D {
  const [rows, columns] = weight.shape;
  // WebAssembly has no gradient of the kernel; a single pixel needs none.
  const product = rows * columns === 1 || !tf.getKernel('Conv2DBackpropFilter', tf.getBackend());
  const convolved = product ? byProduct(x, weight) : tf.conv2d(x, weight, 1, 'same');
  return tf.add(convolved, bias) as tf.Tensor4D;
}

/** A convolution as one product of matrices: what the kernel sees of each place, times the kernel. */
function byProduct(x: tf.Tensor4D, weight: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, inputs] = x.shape;
  const [rows, columns, , outputs] = weight.shape;
  const [above, before] = [(rows - 1) / 2, (columns - 1) / 2];
  const padded = tf.pad(x, [
    [0, 0],
    [above, above],
    [before, before],
    [0, 0],
  ]);
  const seen = Array.from({ length: rows * columns }, (_, place) =>
    tf.slice(
      padded,
      [0, Math.floor(place / columns), place % columns, 0],
      [batch, height, width, inputs],
    ),
  );
  const flat = tf.reshape(tf.concat(seen, 3), [-1, rows * columns * inputs]);
  const kernel = tf.reshape(weight, [rows * columns * inputs, outputs]);
  return tf.reshape(tf.matMul(flat, kernel), [batch, height, width, outputs]);
}
