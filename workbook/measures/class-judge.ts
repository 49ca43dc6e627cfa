import { tf, tidy } from '../../src/core/tf.js';
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
    return {
      features: { data: features.dataSync<'float32'>(), shape: features.shape },
      labels: [...labels],
      guesses,
      accuracy: accuracy(logits, labels),
    };
  });
}

/** The indices of images all of whose values are finite. */
export function finiteImages(images: tf.Tensor4D): number[] {
  const values = images.dataSync();
  const size = images.size / images.shape[0];
  return Array.from({ length: images.shape[0] }, (_, i) => i).filter((i) =>
    values.subarray(i * size, (i + 1) * size).every(Number.isFinite),
  );
}
