import { tf } from '../core/tf.js';

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
