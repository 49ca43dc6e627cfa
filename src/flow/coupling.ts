import { tf } from '../core/tf.js';
import { denormalise, type Gaussian, normalise } from './gaussian.js';

/** By how much each side of an image is divided. */
export type Factors = readonly [rows: number, columns: number];

/**
 * Trades size for channels (Dinh et al. 2017, arXiv 1605.08803, section 3.6): each patch of `factors`
 * pixels becomes one pixel. Inside it the row of the patch is slowest, then the column, then the
 * channel.
 *
 * @param x (batch, height, width, channels)
 */
export function squeeze(x: tf.Tensor4D, [rows, columns]: Factors): tf.Tensor4D {
  if (rows * columns === 1) return x;
  const [batch, height, width, channels] = x.shape;
  const size = [height / rows, width / columns] as const;
  const cut = tf.reshape(x, [batch, size[0], rows, size[1], columns * channels]);
  return tf.reshape(tf.transpose(cut, [0, 1, 3, 2, 4]), [
    batch,
    ...size,
    rows * columns * channels,
  ]);
}

/** The way back of {@link squeeze}. */
export function unsqueeze(y: tf.Tensor4D, [rows, columns]: Factors): tf.Tensor4D {
  if (rows * columns === 1) return y;
  const [batch, height, width, channels] = y.shape;
  const inner = channels / (rows * columns);
  const cut = tf.reshape(y, [batch, height, width, rows, columns * inner]);
  const size = [height * rows, width * columns, inner] as const;
  return tf.reshape(tf.transpose(cut, [0, 1, 3, 2, 4]), [batch, ...size]);
}

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
  return { kept, moved: normalise(rest, gaussian), logDet };
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
