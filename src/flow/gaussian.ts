import { at } from '../core/errors.js';
import { tf, withGradient } from '../core/tf.js';

/**
 * What a block predicts of a token: it is `mean + exp(logScale)·z` with z standard normal. In TarFlow
 * (section 3.1) the mean is b and the log-scale is a.
 */
export interface Gaussian<T extends tf.Tensor = tf.Tensor3D> {
  mean: T;
  /** Absent where the scale is 1 (a volume-preserving block). */
  logScale?: T | undefined;
}

/**
 * The published outputs of a block: log-scales before means along an axis. The caller frees both.
 */
export function sideBySide<T extends tf.Tensor>(out: T, axis: number): { mean: T; logScale: T } {
  const [logScale, mean] = tf.split(out, 2, axis) as [T, T];
  return { mean, logScale };
}

/**
 * Tokens from noise, mean + exp(logScale)·z. The inverse of {@link normalise}. Call it inside `tidy`: it
 * leaves intermediate tensors.
 */
export function denormalise<T extends tf.Tensor>(z: T, { mean, logScale }: Gaussian<T>): T {
  return tf.add(logScale ? tf.mul(z, tf.exp(logScale)) : z, mean);
}

/**
 * Noise from tokens, (x − mean)·exp(−logScale). Its log-determinant is the sum of −logScale over the
 * numbers of a sample. The caller frees it; nothing else is left.
 */
export function normalise<T extends tf.Tensor>(x: T, { mean, logScale }: Gaussian<T>): T {
  return logScale ? affineStep(x, logScale, mean) : tf.sub(x, mean);
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
  return withGradient(
    [x, a, b],
    (input, logScale, shift) => {
      const scale = tf.exp(tf.neg(logScale));
      const value = tf.mul(tf.sub(input, shift), scale);
      return { value, saved: [value, scale] };
    },
    (dy, [z, scale]) => {
      const dx = tf.mul(dy, scale);
      return [dx, tf.neg(tf.mul(dy, z)), tf.neg(dx)];
    },
  );
}

/**
 * The mean and scale by which {@link normalise} gives data mean 0 and about variance 1: how actnorm
 * starts. The variance is that of the data and one more sample, of variance 1, which keeps numbers that
 * hardly ever change away from tiny scales.
 *
 * @param x (batch, …)
 * @param axes over which to average, the first among them
 */
export function standardising<T extends tf.Tensor, const L extends tf.Shape>(
  x: T,
  axes: L,
): { mean: tf.Without<T, L>; logScale: tf.Without<T, L> } {
  const { mean, variance } = tf.moments(x, axes);
  const samples = at(x.shape, 0);
  const scaled = tf.div(tf.add(tf.mul(variance, samples), 1), samples + 1);
  return { mean, logScale: tf.mul(tf.log(scaled), 0.5) };
}
