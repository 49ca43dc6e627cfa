import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';

/**
 * Peak signal to noise ratios of images, 10·log₁₀(2²/mean square error) for each, in decibels. Images
 * are clipped to [−1, 1] first, as a picture would be; an image that is met exactly counts as 100.
 *
 * @param images (batch, channels, height, width)
 * @param originals of the same shape, in [−1, 1]
 * @returns one ratio per image
 * @throws UserError for images of another shape
 *
 * @example
 * ```ts
 * import { startEngine, tf } from 'tarflow';
 * import { peakSignalToNoise } from 'tarflow/evaluation';
 *
 * await startEngine();
 * const black = tf.fill<tf.Rank.R4>([1, 3, 8, 8], -1);
 * console.log(peakSignalToNoise(tf.add(black, 0.02), black)); // [ 40 ]
 * ```
 */
export function peakSignalToNoise(images: tf.Tensor4D, originals: tf.Tensor4D): Float32Array {
  if (images.shape.join() !== originals.shape.join()) {
    throw new UserError(
      `Images of shape (${images.shape.join(', ')}) came with originals of (${originals.shape.join(', ')})`,
      'Expected the same shape',
    );
  }
  return tidy(() => {
    const clipped = tf.clipByValue(images, -1, 1);
    const squares = tf.mean(tf.squaredDifference(clipped, originals), [1, 2, 3]);
    const ratio = tf.log(tf.div(4, tf.maximum(squares, 4e-10)));
    return tf.mul(ratio, 10 / Math.LN10).dataSync<'float32'>();
  });
}
