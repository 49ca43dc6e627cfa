/**
 * Operations of networks and flows, with gradients written by hand where those of TensorFlow.js
 * take more passes over memory. They are pure functions of tensors; a caller frees the
 * results or calls them inside `tidy`.
 */
import { tf, withGradient } from './tf.js';

/**
 * Layer normalisation over the last axis with scale and offset (Ba et al. 2016, arXiv 1607.06450),
 * in float32.
 *
 * @param x (rows, channels)
 * @param weight (channels)
 * @param bias (channels)
 * @param epsilon added to each row's variance before its root, so that a row of equal numbers is not
 *   divided by zero; the default is PyTorch's, as in the published code
 * @returns (rows, channels)
 */
export function layerNorm(
  x: tf.Tensor2D,
  weight: tf.Tensor1D,
  bias: tf.Tensor1D,
  epsilon = 1e-5,
): tf.Tensor2D {
  return withGradient(
    [x, weight, bias],
    (input, scale, offset) => {
      const centred = tf.sub(input, tf.mean(input, -1, true));
      const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon));
      const normalised = tf.mul(centred, inverse);
      const value = tf.add(tf.mul(normalised, scale), offset);
      return { value, saved: [normalised, inverse, scale] };
    },
    (dy, [xHat, rstd, gamma]) => {
      const dxHat = tf.mul(dy, gamma);
      const dyXHat = tf.mul(dy, xHat);
      const projection = tf.mean(tf.mul(dyXHat, gamma), -1, true);
      const dx = tf.mul(
        tf.sub(tf.sub(dxHat, tf.mean(dxHat, -1, true)), tf.mul(xHat, projection)),
        rstd,
      );
      return [dx, tf.sum(dyXHat, 0), tf.sum(dy, 0)];
    },
  );
}

/**
 * Normalisation by the root mean square over the last axis (Zhang and Sennrich 2019, arXiv
 * 1910.07467), in float32. The scale is 1 + weight, as the published STARFlow stores it.
 *
 * @param x (rows, channels)
 * @param weight (channels), the scale less 1
 * @param epsilon added to each row's mean square before its root
 * @returns (rows, channels)
 */
export function rmsNorm(x: tf.Tensor2D, weight: tf.Tensor1D, epsilon = 1e-6): tf.Tensor2D {
  return withGradient(
    [x, weight],
    (input, less) => {
      const scale = tf.add(less, 1);
      const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(input), -1, true), epsilon));
      const normalised = tf.mul(input, inverse);
      return { value: tf.mul(normalised, scale), saved: [normalised, inverse, scale] };
    },
    (dy, [xHat, rrms, gamma]) => {
      const dyXHat = tf.mul(dy, xHat);
      const projection = tf.mean(tf.mul(dyXHat, gamma), -1, true);
      const dx = tf.mul(tf.sub(tf.mul(dy, gamma), tf.mul(xHat, projection)), rrms);
      return [dx, tf.sum(dyXHat, 0)];
    },
  );
}

/**
 * Group normalisation (Wu and He 2018, arXiv 1803.08494): the numbers of an image that belong to a
 * group of neighbouring channels get mean 0 and variance 1, then scale and offset, in float32.
 *
 * @param x (batch, height, width, channels)
 * @param weight (channels)
 * @param bias (channels)
 * @param groups divides the channels
 * @param epsilon added to each group's variance before its root
 * @returns (batch, height, width, channels)
 */
export function groupNorm(
  x: tf.Tensor4D,
  weight: tf.Tensor1D,
  bias: tf.Tensor1D,
  groups: number,
  epsilon = 1e-6,
): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const places = height * width;
  const flat = (images: tf.Tensor4D) => tf.reshape(images, [batch, places, channels]);
  /** Means over each group, once for each of its channels (batch, 1, channels), of means by channel. */
  const overGroups = (byChannel: tf.Tensor): tf.Tensor3D => {
    const grouped = tf.reshape(byChannel, [batch, groups, channels / groups]);
    const means = tf.tile(tf.mean(grouped, 2, true), [1, 1, channels / groups]);
    return tf.reshape(means, [batch, 1, channels]);
  };
  return withGradient(
    [x, weight, bias],
    (images, scale, offset) => {
      const input = flat(images);
      const centred = tf.sub(input, overGroups(tf.mean(input, 1)));
      const variance = overGroups(tf.mean(tf.square(centred), 1));
      const inverse = tf.rsqrt(tf.add(variance, epsilon));
      const value = tf.add(tf.mul(centred, tf.mul(inverse, scale)), offset);
      return { value: tf.reshape(value, x.shape), saved: [centred, inverse, scale] };
    },
    (dy, [centred, rstd, gamma]) => {
      const dOut = flat(dy);
      const own = tf.mean(dOut, 1, true);
      const along = tf.mul(tf.mean(tf.mul(dOut, centred), 1, true), rstd);
      const projection = tf.mul(overGroups(tf.mul(along, gamma)), tf.square(rstd));
      const shift = tf.mul(overGroups(tf.mul(own, gamma)), rstd);
      const straight = tf.mul(dOut, tf.mul(gamma, rstd));
      const dx = tf.sub(tf.sub(straight, tf.mul(centred, projection)), shift);
      const summed = (means: tf.Tensor3D) => tf.mul(tf.sum(means, [0, 1]), places);
      return [tf.reshape(dx, x.shape), summed(along), summed(own)];
    },
  );
}

/**
 * The sigmoid linear unit, x/(1 + exp(−x)) (Hendrycks and Gimpel 2016, arXiv 1606.08415).
 *
 * @param x of any shape, which the result has too
 */
export function silu<T extends tf.Tensor>(x: T): T {
  return withGradient(
    [x],
    (input) => {
      const gate = tf.sigmoid(input);
      return { value: tf.mul(input, gate), saved: [input, gate] };
    },
    (dy, [input, gate]) => {
      const slope = tf.mul(gate, tf.add(tf.mul(input, tf.sub(1, gate)), 1));
      return [tf.mul(dy, slope)];
    },
  );
}

/**
 * The exact Gaussian error linear unit, x·Φ(x), by the error function (Hendrycks and Gimpel 2016,
 * arXiv 1606.08415).
 *
 * @param x of any shape, which the result has too
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  return withGradient(
    [x],
    (input) => ({ value: tf.mul(input, normalDistribution(input)), saved: [input] }),
    // Φ is computed again, not saved: in a graph it takes no extra pass over memory.
    (dy, [input]) => {
      const density = tf.mul(tf.exp(tf.mul(tf.square(input), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return [tf.mul(dy, tf.add(normalDistribution(input), tf.mul(input, density)))];
    },
  );
}

/** Φ, the distribution function of the normal distribution. */
function normalDistribution<T extends tf.Tensor>(x: T): T {
  return tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);
}

/**
 * The rectified linear unit, max(x, 0). Its gradient is dy where the result is above 0.
 *
 * @param x of any shape, which the result has too
 */
export function relu<T extends tf.Tensor>(x: T): T {
  return withGradient(
    [x],
    (input) => {
      const value = tf.relu(input);
      return { value, saved: [value] };
    },
    (dy, [value]) => [tf.mul(dy, tf.cast(tf.greater(value, 0), 'float32'))],
  );
}

/** How the logits of attention are changed; no gradient flows to either field. */
export interface AttentionLogits {
  /** Multiplies them: a number or a tensor that broadcasts; 1/√width for scaled attention. */
  scale: number | tf.Tensor;
  /**
   * Added to them, broadcast over batch and heads: 0 where a query sees a key, very negative
   * elsewhere.
   */
  mask?: tf.Tensor | undefined;
}

/**
 * Dot-product attention (Vaswani et al. 2017, arXiv 1706.03762): softmax(scale · q·kᵀ + mask)·v.
 *
 * @param q (batch, heads, queries, width)
 * @param k (batch, heads, keys, width)
 * @param v (batch, heads, keys, width)
 * @returns (batch, heads, queries, width)
 */
export function attention(
  q: tf.Tensor4D,
  k: tf.Tensor4D,
  v: tf.Tensor4D,
  { scale, mask }: AttentionLogits,
): tf.Tensor4D {
  return withGradient(
    [q, k, v],
    (queries, keys, values) => {
      const logits = tf.mul(tf.matMul(queries, keys, false, true), scale);
      const weights: tf.Tensor4D = tf.softmax(mask ? tf.add(logits, mask) : logits);
      return { value: tf.matMul(weights, values), saved: [queries, keys, values, weights] };
    },
    (dy, [queries, keys, values, weights]) => {
      const dV = tf.matMul(weights, dy, true, false);
      const weighted = tf.mul(tf.matMul(dy, values, false, true), weights);
      const dLogits = tf.sub(weighted, tf.mul(weights, tf.sum(weighted, -1, true)));
      const dProducts: tf.Tensor4D = tf.mul(dLogits, scale);
      const dQ = tf.matMul(dProducts, keys);
      const dK = tf.matMul(dProducts, queries, true, false);
      return [dQ, dK, dV];
    },
  );
}

/**
 * A linear layer, x·Wᵀ + b, with the weight stored as in the published state dicts.
 *
 * @param x (rows, inputs)
 * @param weight (outputs, inputs)
 * @param bias (outputs)
 * @returns (rows, outputs)
 */
export function linear(x: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor2D {
  return tf.add(tf.matMul(x, weight, false, true), bias);
}
