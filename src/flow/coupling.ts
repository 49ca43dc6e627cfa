import { tf } from '../core/tf.js';
import { denormalise, type Gaussian, normalise } from './gaussian.js';

/** Predicts the second half of the channels from the first (batch, height, width, channels). */
export type Prediction = (kept: tf.Tensor4D) => Gaussian<tf.Tensor4D>;

/**
 * An affine coupling (Dinh et al. 2017, arXiv 1605.08803, equations 7 and 8): the first half of the
 * channels stays, and of the second half the noise is left that a prediction from the first leaves.
 * Of an odd number of channels the first half is the larger.
 *
 * @param x (batch, height, width, channels), at least two channels
 * @returns both halves, and log |det| per sample (batch)
 */
export function couple(
  x: tf.Tensor4D,
  predict: Prediction,
): { kept: tf.Tensor4D; moved: tf.Tensor4D; logDet: tf.Tensor1D } {
  const [kept, rest] = halves(x);
  const gaussian = predict(kept);
  const { logScale } = gaussian;
  const logDet = logScale ? tf.neg(tf.sum(logScale, [1, 2, 3])) : tf.zeros([x.shape[0]]);
  return { kept, moved: normalise(rest, gaussian), logDet: logDet as tf.Tensor1D };
}

/** The way back of {@link couple}: all channels. */
export function uncouple(kept: tf.Tensor4D, moved: tf.Tensor4D, predict: Prediction): tf.Tensor4D {
  return tf.concat([kept, denormalise(moved, predict(kept))], 3);
}

/** The first half of the channels, which of an odd number is the larger, and the second. */
export function halves(x: tf.Tensor4D): [tf.Tensor4D, tf.Tensor4D] {
  const channels = x.shape[3];
  const first = Math.ceil(channels / 2);
  return tf.split(x, [first, channels - first], 3) as [tf.Tensor4D, tf.Tensor4D];
}
