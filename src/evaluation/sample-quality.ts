import { tf, tidy } from '../backend/tf.js';
import { type Classifier, classifierFeatures } from '../models/classifier/index.js';
import { type FeatureStatistics, featureStatistics } from './distances/features.js';

/**
 * Statistics of a classifier's features of images.
 * @param images (batch, channels, height, width) in [−1, 1]; not disposed
 * @throws UserError as `classifierFeatures` and `featureStatistics` do
 */
export function classifierStatistics(
  classifier: Classifier,
  images: tf.Tensor4D,
): FeatureStatistics {
  return tidy(() => featureStatistics(classifierFeatures(classifier, images).features));
}

/** How far the pixels' statistics are from those of other images, as shares of the data range. */
export interface PixelDistance {
  /** Root mean square over the pixels of the difference of their means. */
  mean: number;
  /** The same of their standard deviations, which are divided by the number of images. */
  deviation: number;
}

/**
 * Compares means and standard deviations of pixels over two batches of images.
 *
 * @param images (images, channels, height, width) on the scale [−1, 1]; not disposed
 * @param others likewise, of the same size; the number may differ
 */
export function pixelDistance(images: tf.Tensor4D, others: tf.Tensor4D): PixelDistance {
  const [mean, deviation] = tidy(() => {
    const [own, theirs] = [tf.moments(images, 0), tf.moments(others, 0)];
    // The data range is 2.
    const apart = (left: tf.Tensor, right: tf.Tensor) =>
      tf.div(tf.sqrt(tf.mean(tf.squaredDifference(left, right))), 2);
    const deviations = apart(tf.sqrt(own.variance), tf.sqrt(theirs.variance));
    return Array.from(tf.stack([apart(own.mean, theirs.mean), deviations]).dataSync());
  }) as [number, number];
  return { mean, deviation };
}
