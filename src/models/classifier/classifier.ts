import { UserError } from '../../core/errors.js';
import { tf, tidy } from '../../core/tf.js';
import { disposeModel } from '../../flow/flow.js';
import { activations, type Classifier } from './family.js';

/** Frees the parameters. */
export function disposeClassifier(classifier: Classifier): void {
  disposeModel(classifier);
}

/**
 * What a classifier makes of images.
 *
 * The features stand for the images in a Fréchet distance. Without a hidden layer they are what the
 * last layer sees: the pixels, in logistic regression.
 *
 * @param images (batch, channels, height, width) in [−1, 1]; any number, taken in parts of 500
 * @returns features (batch, features) and logits (batch, classes), which the caller frees
 * @throws UserError where the images do not fit the classifier
 */
export function classifierFeatures(
  classifier: Classifier,
  images: tf.Tensor4D,
): { features: tf.Tensor2D; logits: tf.Tensor2D } {
  const { channels, height, width } = classifier.config.image;
  const [count, ...size] = images.shape;
  if (count === 0 || size.join() !== [channels, height, width].join()) {
    throw new UserError(
      `Images of shape (${images.shape.join(', ')}) came`,
      `This classifier takes (batch, ${channels}, ${height}, ${width})`,
    );
  }
  return tidy(() => {
    const parts: { features: tf.Tensor2D; logits: tf.Tensor2D }[] = [];
    for (let first = 0; first < count; first += 500) {
      const length = Math.min(500, count - first);
      // The activations of a part are freed before those of the next are made.
      parts.push(
        tidy(() => {
          const part = tf.slice(images, [first, 0, 0, 0], [length, channels, height, width]);
          return activations(classifier.parameters, part);
        }),
      );
    }
    return {
      features: tf.concat(parts.map(({ features }) => features)) as tf.Tensor2D,
      logits: tf.concat(parts.map(({ logits }) => logits)) as tf.Tensor2D,
    };
  });
}

/**
 * The share of images that a classifier puts into the class that their labels name.
 *
 * @param labels one per row of the logits
 */
export function accuracy(logits: tf.Tensor2D, labels: ArrayLike<number>): number {
  const [count, classes] = logits.shape;
  const values = logits.dataSync();
  let right = 0;
  for (let i = 0; i < count; i++) {
    const row = values.subarray(i * classes, (i + 1) * classes);
    if (row.indexOf(Math.max(...row)) === labels[i]) right++;
  }
  return right / count;
}
