import { tf, tidy } from '../core/tf.js';
import type { ImageSize } from '../data/source.js';

/** An image's size, and the side of the square patches that it is cut into, in pixels. */
export interface Patches {
  image: ImageSize;
  patchSize: number;
  /** Which number of a token comes first: see {@link patchify}. Default 'channel'. */
  slowest?: 'channel' | 'pixel';
}

/**
 * Cuts images into tokens. Tokens come in raster order over patches; inside a token the channel is
 * slowest, then the row, then the column, as in TarFlow; or the row is slowest, then the column, then
 * the channel, as in STARFlow.
 *
 * @param images (batch, channels, height, width); `patchSize` divides height and width
 * @returns (batch, T, D) with T = height·width/patchSize² and D = channels·patchSize²; the caller frees it
 */
export function patchify(
  { image, patchSize: p, slowest = 'channel' }: Patches,
  images: tf.Tensor4D,
): tf.Tensor3D {
  const [rows, columns] = [image.height / p, image.width / p];
  return tidy(() => {
    const cut = tf.reshape(images, [-1, image.channels, rows, p, columns, p]);
    const tokens = tf.transpose(cut, slowest === 'pixel' ? [0, 2, 4, 3, 5, 1] : [0, 2, 4, 1, 3, 5]);
    return tf.reshape(tokens, [-1, rows * columns, image.channels * p * p]) as tf.Tensor3D;
  });
}

/**
 * Puts tokens back together: the exact inverse of {@link patchify}.
 *
 * @param tokens (batch, T, D)
 * @returns (batch, channels, height, width); the caller frees it
 */
export function unpatchify(
  { image, patchSize: p, slowest = 'channel' }: Patches,
  tokens: tf.Tensor3D,
): tf.Tensor4D {
  const [rows, columns] = [image.height / p, image.width / p];
  return tidy(() => {
    const inner = slowest === 'pixel' ? [p, p, image.channels] : [image.channels, p, p];
    const cut = tf.reshape(tokens, [-1, rows, columns, ...inner]);
    const images = tf.transpose(cut, slowest === 'pixel' ? [0, 5, 1, 3, 2, 4] : [0, 3, 1, 4, 2, 5]);
    return tf.reshape(images, [-1, image.channels, image.height, image.width]) as tf.Tensor4D;
  });
}
