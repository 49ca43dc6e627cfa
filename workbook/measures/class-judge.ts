import { tf, tidy } from '../../src/core/tf.js';
import {
  type FeatureStatistics,
  featureStatistics,
} from '../../src/evaluation/feature-statistics.js';
import { mean } from '../../src/evaluation/statistics.js';
import {
  accuracy,
  type Classifier,
  classifierFeatures,
} from '../../src/models/classifier/family.js';

/** What a classifier sees of images, on the host. */
export interface JudgedImages {
  features: { data: Float32Array; shape: [images: number, width: number] };
  labels: number[];
  /** The class that the classifier puts each image into. */
  guesses: number[];
  /** The share of images that the classifier puts into the class of their label. */
  accuracy: number;
  /** The mean over images of the largest class probability. */
  confidence: number;
  /** The share of images that the classifier puts into each class. */
  shares: number[];
}

/**
 * Features of images, and how a classifier takes them.
 *
 * @param images (batch, channels, height, width), finite; not disposed
 * @param labels the class that each image is meant to be of
 */
export function judgeImages(
  classifier: Classifier,
  images: tf.Tensor4D,
  labels: readonly number[],
): JudgedImages {
  return tidy(() => {
    const { features, logits } = classifierFeatures(classifier, images);
    const guesses = Array.from(tf.argMax(logits, 1).dataSync());
    const probabilities = tf.softmax(logits);
    return {
      features: { data: features.dataSync<'float32'>(), shape: features.shape },
      labels: [...labels],
      guesses,
      accuracy: accuracy(logits, labels),
      confidence: tf.mean(tf.max(probabilities, 1)).dataSync()[0]!,
      shares: Array.from({ length: logits.shape[1] }, (_, label) => {
        return guesses.filter((guess) => guess === label).length / guesses.length;
      }),
    };
  });
}

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

/** How different the images of a class are, in features. */
export interface ClassDiversity {
  /** The mean distance between two images of one class, over all pairs of all classes. */
  distance: number;
  /** For each class the variance of its features, summed over the features; NaN of one image. */
  variances: number[];
}

/** How different the images of each class are, in the features of a classifier. */
export function classDiversity(
  { features, labels }: Pick<JudgedImages, 'features' | 'labels'>,
  classes: number,
): ClassDiversity {
  const width = features.shape[1];
  const distances: number[] = [];
  const variances = Array.from({ length: classes }, (_, label) => {
    const rows = labels.flatMap((own, i) =>
      own === label ? [features.data.subarray(i * width, (i + 1) * width)] : [],
    );
    const squares = rows.flatMap((first, i) =>
      rows.slice(i + 1).map((second) => squaredDistance(first, second)),
    );
    for (const square of squares) distances.push(Math.sqrt(square));
    // The mean squared distance of two draws is twice the variance.
    return mean(squares) / 2;
  });
  return { distance: mean(distances), variances };
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0);
}

/** The indices of images all of whose values are finite. */
export function finiteImages(images: tf.Tensor4D): number[] {
  const values = images.dataSync();
  const size = images.size / images.shape[0];
  return Array.from({ length: images.shape[0] }, (_, i) => i).filter((i) =>
    values.subarray(i * size, (i + 1) * size).every(Number.isFinite),
  );
}
