/**
 * Operations of networks and flows, with gradients written by hand where those of TensorFlow.js
 * take more passes over memory. They are pure functions of tensors; a caller frees the
 * results or calls them inside `tidy`.
 */
import { tf } from './tf.js';

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
  return tf.customGrad((xIn, weightIn, biasIn, save) => {
    const input = xIn as tf.Tensor2D;
    const scale = weightIn as tf.Tensor1D;
    const offset = biasIn as tf.Tensor1D;
    const centred = tf.sub(input, tf.mean(input, -1, true));
    const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon));
    const normalised = tf.mul(centred, inverse);
    (save as tf.GradSaveFunc)([normalised, inverse, scale]);
    return {
      value: tf.add(tf.mul(normalised, scale), offset) as tf.Tensor2D,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [xHat, rstd, gamma] = saved as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D];
        const dxHat = tf.mul(dy, gamma);
        const dyXHat = tf.mul(dy, xHat);
        const projection = tf.mean(tf.mul(dyXHat, gamma), -1, true);
        const dx = tf.mul(
          tf.sub(tf.sub(dxHat, tf.mean(dxHat, -1, true)), tf.mul(xHat, projection)),
          rstd,
        );
        return [dx, tf.sum(dyXHat, 0), tf.sum(dy, 0)];
      },
    };
  })(x, weight, bias) as tf.Tensor2D;
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
  return tf.customGrad((xIn, weightIn, save) => {
    const input = xIn as tf.Tensor2D;
    const scale = tf.add(weightIn as tf.Tensor1D, 1);
    const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(input), -1, true), epsilon));
    const normalised = tf.mul(input, inverse);
    (save as tf.GradSaveFunc)([normalised, inverse, scale]);
    return {
      value: tf.mul(normalised, scale) as tf.Tensor2D,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [xHat, rrms, gamma] = saved as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D];
        const dyXHat = tf.mul(dy, xHat);
        const projection = tf.mean(tf.mul(dyXHat, gamma), -1, true);
        const dx = tf.mul(tf.sub(tf.mul(dy, gamma), tf.mul(xHat, projection)), rrms);
        return [dx, tf.sum(dyXHat, 0)];
      },
    };
  })(x, weight) as tf.Tensor2D;
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
  const flat = [batch, places, channels];
  /** Means over each group, once for each of its channels (batch, 1, channels), of means by channel. */
  const overGroups = (byChannel: tf.Tensor): tf.Tensor => {
    const grouped = tf.reshape(byChannel, [batch, groups, channels / groups]);
    const means = tf.tile(tf.mean(grouped, 2, true), [1, 1, channels / groups]);
    return tf.reshape(means, [batch, 1, channels]);
  };
  return tf.customGrad((xIn, weightIn, biasIn, save) => {
    const [input, scale] = [tf.reshape(xIn as tf.Tensor, flat), weightIn as tf.Tensor1D];
    const centred = tf.sub(input, overGroups(tf.mean(input, 1)));
    const variance = overGroups(tf.mean(tf.square(centred), 1));
    const inverse = tf.rsqrt(tf.add(variance, epsilon));
    (save as tf.GradSaveFunc)([centred, inverse, scale]);
    const value = tf.add(tf.mul(centred, tf.mul(inverse, scale)), biasIn as tf.Tensor1D);
    return {
      value: tf.reshape(value, x.shape),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [apart, rstd, gamma] = saved as [tf.Tensor3D, tf.Tensor3D, tf.Tensor1D];
        const dOut = tf.reshape(dy, flat);
        const own = tf.mean(dOut, 1, true);
        const along = tf.mul(tf.mean(tf.mul(dOut, apart), 1, true), rstd);
        const projection = tf.mul(overGroups(tf.mul(along, gamma)), tf.square(rstd));
        const shift = tf.mul(overGroups(tf.mul(own, gamma)), rstd);
        const straight = tf.mul(dOut, tf.mul(gamma, rstd));
        const dx = tf.sub(tf.sub(straight, tf.mul(apart, projection)), shift);
        const summed = (means: tf.Tensor) => tf.mul(tf.sum(means, [0, 1]), places);
        return [tf.reshape(dx, x.shape), summed(along), summed(own)];
      },
    };
  })(x, weight, bias) as tf.Tensor4D;
}

/**
 * The sigmoid linear unit, x/(1 + exp(−x)) (Hendrycks and Gimpel 2016, arXiv 1606.08415).
 *
 * @param x of any shape, which the result has too
 */
export function silu<T extends tf.Tensor>(x: T): T {
  return tf.customGrad((xIn, save) => {
    const input = xIn as tf.Tensor;
    const gate = tf.sigmoid(input);
    (save as tf.GradSaveFunc)([input, gate]);
    return {
      value: tf.mul(input, gate),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [value, open] = saved as [tf.Tensor, tf.Tensor];
        const slope = tf.mul(open, tf.add(tf.mul(value, tf.sub(1, open)), 1));
        return tf.mul(dy, slope);
      },
    };
  })(x) as T;
}

/**
 * The exact Gaussian error linear unit, x·Φ(x), by the error function (Hendrycks and Gimpel 2016,
 * arXiv 1606.08415).
 *
 * @param x of any shape, which the result has too
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  return tf.customGrad((xIn, save) => {
    const input = xIn as tf.Tensor;
    (save as tf.GradSaveFunc)([input]);
    return {
      value: tf.mul(input, normalDistribution(input)),
      // Φ is computed again, not saved: in a graph it takes no extra pass over memory.
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [value] = saved as [tf.Tensor];
        const density = tf.mul(tf.exp(tf.mul(tf.square(value), -0.5)), 1 / Math.sqrt(2 * Math.PI));
        return tf.mul(dy, tf.add(normalDistribution(value), tf.mul(value, density)));
      },
    };
  })(x) as T;
}

/** Φ, the distribution function of the normal distribution. */
function normalDistribution(x: tf.Tensor): tf.Tensor {
  return tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);
}

/**
 * The rectified linear unit, max(x, 0). Its gradient is dy where the result is above 0.
 *
 * @param x of any shape, which the result has too
 */
export function relu<T extends tf.Tensor>(x: T): T {
  return tf.customGrad((xIn, save) => {
    const value = tf.relu(xIn as tf.Tensor);
    (save as tf.GradSaveFunc)([value]);
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) =>
        tf.mul(dy, tf.cast(tf.greater(saved[0] as tf.Tensor, 0), 'float32')),
    };
  })(x) as T;
}

/**
 * The affine step of an autoregressive flow, (x − b)·exp(−a) (TarFlow, section 3.1). Its gradient
 * reuses what is already computed: it is dy·exp(−a) in x, −dy·exp(−a) in b, and −dy times the result
 * in a.
 *
 * @param x of any shape, as a and b
 * @param a log-scale
 * @param b shift
 */
export function affineStep<T extends tf.Tensor>(x: T, a: T, b: T): T {
  return tf.customGrad((xIn, aIn, bIn, save) => {
    const [input, logScale, shift] = [xIn, aIn, bIn] as [tf.Tensor, tf.Tensor, tf.Tensor];
    const scale = tf.exp(tf.neg(logScale));
    const moved = tf.mul(tf.sub(input, shift), scale);
    (save as tf.GradSaveFunc)([moved, scale]);
    return {
      value: moved,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [result, factor] = saved as [tf.Tensor, tf.Tensor];
        const dx = tf.mul(dy, factor);
        return [dx, tf.neg(tf.mul(dy, result)), tf.neg(dx)];
      },
    };
  })(x, a, b) as T;
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
  return tf.customGrad((qIn, kIn, vIn, save) => {
    const [queries, keys, values] = [qIn, kIn, vIn] as tf.Tensor4D[] as [
      tf.Tensor4D,
      tf.Tensor4D,
      tf.Tensor4D,
    ];
    const logits = tf.mul(tf.matMul(queries, keys, false, true), scale);
    const weights = tf.softmax(mask ? tf.add(logits, mask) : logits) as tf.Tensor4D;
    (save as tf.GradSaveFunc)([queries, keys, values, weights]);
    return {
      value: tf.matMul(weights, values),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [savedQ, savedK, savedV, savedW] = saved as [
          tf.Tensor4D,
          tf.Tensor4D,
          tf.Tensor4D,
          tf.Tensor4D,
        ];
        const dOut = dy as tf.Tensor4D;
        const dV = tf.matMul(savedW, dOut, true, false);
        const weighted = tf.mul(tf.matMul(dOut, savedV, false, true), savedW);
        const dLogits = tf.sub(weighted, tf.mul(savedW, tf.sum(weighted, -1, true)));
        const dProducts = tf.mul(dLogits, scale) as tf.Tensor4D;
        const dQ = tf.matMul(dProducts, savedK);
        const dK = tf.matMul(dProducts, savedQ, true, false);
        return [dQ, dK, dV];
      },
    };
  })(q, k, v) as tf.Tensor4D;
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
  return tf.add(tf.matMul(x, weight, false, true), bias) as tf.Tensor2D;
}

/** The places (count) int32 from a first one on, which may be known only as a loop runs. */
export function consecutive(first: tf.Scalar, count: number): tf.Tensor1D {
  return tf.add(tf.range(0, count, 1, 'int32'), first);
}
