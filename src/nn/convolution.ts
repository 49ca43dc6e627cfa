import { foldIn, type RandomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
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
  const [above, before] = [(rows - 1) / 2, (columns - 1) / 2];
  const convolved = product
    ? byProduct(padded(x, [above, above], [before, before]), weight, 1)
    : tf.conv2d(x, weight, 1, 'same');
  return tf.add(convolved, bias);
}

/**
 * A convolution of side 3 that halves height and width, which are even: beyond the last row and
 * column, and only there, the kernel sees zeros.
 *
 * @param x (batch, height, width, inputs)
 * @param parameters the weight is (3, 3, inputs, outputs)
 * @returns (batch, height/2, width/2, outputs)
 */
export function halvingConvolution(
  x: tf.Tensor4D,
  { weight, bias }: ConvolutionParameters,
): tf.Tensor4D {
  const convolved = tf.getKernel('Conv2DBackpropFilter', tf.getBackend())
    ? tf.conv2d(padded(x, [0, 1], [0, 1]), weight, 2, 'valid')
    : byProduct(padded(x, [0, 2], [0, 2]), weight, 2);
  return tf.add(convolved, bias);
}

/**
 * A convolution as one product of matrices: what the kernel sees of each place, times the kernel.
 *
 * @param stride of the places, 1 or 2
 */
function byProduct(padded: tf.Tensor4D, weight: tf.Tensor4D, stride: number): tf.Tensor4D {
  const [rows, columns, inputs, outputs] = weight.shape;
  const [batch, ...sides] = padded.shape;
  const height = (sides[0] - rows + 1) / stride;
  const width = (sides[1] - columns + 1) / stride;
  const seen = Array.from({ length: rows * columns }, (_, place) => {
    const begin = [0, Math.floor(place / columns), place % columns, 0];
    const all = tf.slice(padded, begin, [batch, stride * height, stride * width, inputs]);
    // Of each stride of rows and of columns the first is seen.
    const apart = tf.reshape(all, [batch * height, stride, width, stride * inputs]);
    const first = tf.slice(apart, [0, 0, 0, 0], [batch * height, 1, width, inputs]);
    return tf.reshape(first, [batch * height * width, inputs]);
  });
  const kernel = tf.reshape(weight, [rows * columns * inputs, outputs]);
  return tf.reshape(tf.matMul(tf.concat(seen, 1), kernel), [batch, height, width, outputs]);
}

/** Images with zeros beyond their borders. */
function padded(
  x: tf.Tensor4D,
  rows: [before: number, after: number],
  columns: [before: number, after: number],
): tf.Tensor4D {
  return tf.pad(x, [[0, 0], rows, columns, [0, 0]]);
}

/**
 * Images twice as high and wide, each pixel four times: the nearest one. It is written by `concat`,
 * whose gradient every engine has.
 *
 * @param x (batch, height, width, channels)
 * @returns (batch, 2·height, 2·width, channels)
 */
export function doubled(x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const pixels = tf.reshape(x, [batch * height, width, channels]);
  const wide = tf.reshape(tf.concat([pixels, pixels], 2), [batch * height, 2 * width * channels]);
  return tf.reshape(tf.concat([wide, wide], 1), [batch, 2 * height, 2 * width, channels]);
}
