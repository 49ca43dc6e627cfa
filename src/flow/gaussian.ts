import { affineStep } from '../core/ops.js';
import { tf } from '../core/tf.js';

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
 * The mean and scale by which {@link normalise} gives data mean 0 and about variance 1: how actnorm
 * starts. The variance is that of the data and one more sample, of variance 1, which keeps numbers that
 * hardly ever change away from tiny scales.
 *
 * @param x (batch, …)
 * @param axes over which to average, the first among them
 */
export function standardising(
  x: tf.Tensor,
  axes: number[],
): { mean: tf.Tensor; logScale: tf.Tensor } {
  const { mean, variance } = tf.moments(x, axes);
  const samples = x.shape[0] as number;
  const scaled = tf.div(tf.add(tf.mul(variance, samples), 1), samples + 1);
  return { mean, logScale: tf.mul(tf.log(scaled), 0.5) };
}
