import { at } from '../core/errors.js';
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
  const convolved = product ? byProduct(x, weight) : tf.conv2d(x, weight, 1, 'same');
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
  const beyond = (after: number): tf.Tensor4D =>
    tf.pad(x, [
      [0, 0],
      [0, after],
      [0, after],
      [0, 0],
    ]);
  const convolved = tf.getKernel('Conv2DBackpropFilter', tf.getBackend())
    ? tf.conv2d(beyond(1), weight, 2, 'valid')
    : seenTimesKernel(everyOther(beyond(2)), weight);
  return tf.add(convolved, bias);
}

/** What a kernel of side 3 sees at every other row and column, of images with two more of each. */
function everyOther(padded: tf.Tensor4D): tf.Tensor4D[] {
  const [batch, rows, columns, inputs] = padded.shape;
  const [height, width] = [rows / 2 - 1, columns / 2 - 1];
  return Array.from({ length: 9 }, (_, place) => {
    const begin = [0, Math.floor(place / 3), place % 3, 0];
    // A slice of both rows and columns of each pair, of which the first is seen.
    const pairs = tf.slice(padded, begin, [batch, 2 * height, 2 * width, inputs]);
    const apart = tf.reshape(pairs, [batch * height, 2, width, 2 * inputs]);
    const seen = tf.slice(apart, [0, 0, 0, 0], [batch * height, 1, width, inputs]);
    return tf.reshape(seen, [batch, height, width, inputs]);
  });
}

/** A convolution as one product of matrices: what the kernel sees of each place, times the kernel. */
function byProduct(x: tf.Tensor4D, weight: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, inputs] = x.shape;
  const [rows, columns] = weight.shape;
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
  return seenTimesKernel(seen, weight);
}

/** @param seen by each place of the kernel, (batch, height, width, inputs) */
function seenTimesKernel(seen: readonly tf.Tensor4D[], weight: tf.Tensor4D): tf.Tensor4D {
  const [rows, columns, inputs, outputs] = weight.shape;
  const [batch, height, width] = at(seen, 0).shape;
  const flat = tf.reshape(tf.concat([...seen], 3), [-1, rows * columns * inputs]);
  const kernel = tf.reshape(weight, [rows * columns * inputs, outputs]);
  return tf.reshape(tf.matMul(flat, kernel), [batch, height, width, outputs]);
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
