import { tf } from '../core/tf.js';

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
