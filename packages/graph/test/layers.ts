/** Layers of networks, as a user of captured graphs writes them, with gradients of their own. */
import { tf } from '../src/tf.js';

/** x·Wᵀ + b. */
export function linear(x: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor2D {
  return tf.add(tf.matMul(x, weight, false, true), bias);
}

/** Layer normalisation of rows. */
export function layerNorm(x: tf.Tensor2D, scale: tf.Tensor1D, offset: tf.Tensor1D): tf.Tensor2D {
  const norm = tf.customGrad((input, gamma, beta, save) => {
    const [rows, factor] = [input, gamma] as tf.Tensor[] as [tf.Tensor, tf.Tensor];
    const centred = tf.sub(rows, tf.mean(rows, -1, true));
    const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), 1e-5));
    const normalised = tf.mul(centred, inverse);
    (save as tf.GradSaveFunc)([normalised, inverse, factor]);
    return {
      value: tf.add(tf.mul(normalised, factor), beta as tf.Tensor),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [unit, rstd, weight] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
        const slope = tf.mul(dy, weight);
        const along = tf.mul(dy, unit);
        const projection = tf.mean(tf.mul(along, weight), -1, true);
        const centredSlope = tf.sub(slope, tf.mean(slope, -1, true));
        const dx = tf.mul(tf.sub(centredSlope, tf.mul(unit, projection)), rstd);
        return [dx, tf.sum(along, 0), tf.sum(dy, 0)];
      },
    };
  });
  return norm(x, scale, offset) as tf.Tensor2D;
}

/** The Gaussian error linear unit, x·Φ(x). */
export function gelu<T extends tf.Tensor>(x: T): T {
  const distribution = (at: tf.Tensor) => tf.mul(tf.add(tf.erf(tf.mul(at, Math.SQRT1_2)), 1), 0.5);
  const unit = tf.customGrad((input, save) => {
    const value = input as tf.Tensor;
    (save as tf.GradSaveFunc)([value]);
    return {
      value: tf.mul(value, distribution(value)),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [at] = saved as [tf.Tensor];
        const density = tf.mul(tf.exp(tf.mul(tf.square(at), -0.5)), 1 / Math.sqrt(2 * Math.PI));
        return tf.mul(dy, tf.add(distribution(at), tf.mul(at, density)));
      },
    };
  });
  return unit(x) as T;
}

/** Attention, softmax(q·kᵀ/√width)·v, with the gradient of TensorFlow.js. */
export function attention(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D): tf.Tensor4D {
  const scale = 1 / Math.sqrt(q.shape[3]);
  const weights = tf.softmax(tf.mul(tf.matMul(q, k, false, true), scale)) as tf.Tensor4D;
  return tf.matMul(weights, v);
}
