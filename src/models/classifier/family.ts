import { z } from 'zod';
import { checkCount, UserError } from '../../core/errors.js';
import { relu } from '../../core/ops.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import { checkedConfig } from '../../core/schema.js';
import { tf, tidy } from '../../core/tf.js';
import type { Family, Model } from '../../flow/model.js';
import { checkImages, count, countOrNone, imageSchema } from '../../flow/model.js';
import { disposeModel } from '../../flow/state-dict.js';
import { convolution } from '../../nn/convolution.js';
import { normals, type Specified, zeros } from '../../nn/specs.js';
import { crossEntropy } from '../../training/objectives/cross-entropy.js';

const classifierSchema = z.strictObject({
  kind: z.literal('classifier'),
  image: imageSchema,
  classes: countOrNone,
  /**
   * Channels of each 3×3 convolution, which a ReLU and a 2×2 maximum follow. With none of them, and
   * no features, the classifier is logistic regression on the pixels.
   */
  convolutions: z.array(count),
  /** Units of the ReLU layer before the last, whose activations are the features; 0 for none. */
  features: countOrNone,
});

/** The shape of a {@link Classifier}. */
export interface ClassifierConfig extends z.infer<typeof classifierSchema> {}

/** Weights are (3, 3, in, out) in a convolution and (in, out) in a linear layer. */
export type ClassifierParameters = Specified<ReturnType<typeof parameterSpecs>>;

/** A small image classifier: convolutions, one hidden layer, logits. */
export type Classifier = Model<ClassifierConfig, ClassifierParameters>;

/** Small classifiers of images, trained on the cross-entropy. */
export const classifier: Family<ClassifierConfig, ClassifierParameters> = {
  kind: 'classifier',
  schema: classifierSchema,
  check: checkClassifier,
  title: ({ convolutions, features }) => [...convolutions, features].join('-'),
  specs: (config, key) => ({ parameters: parameterSpecs(config, key), buffers: {} }),
  objectives: () => [
    crossEntropy(({ parameters }, images) => activations(parameters, images).logits),
  ],
};

/**
 * Features (batch, features) and logits (batch, classes) of images (batch, channels, height, width)
 * in [−1, 1].
 */
export function activations(
  { convolutions, hidden, output }: ClassifierParameters,
  images: tf.Tensor4D,
): { features: tf.Tensor2D; logits: tf.Tensor2D } {
  let x = tf.transpose(images, [0, 2, 3, 1]);
  for (const layer of convolutions) {
    x = tf.maxPool(relu(convolution(x, layer)), 2, 2, 0);
  }
  const flat = tf.reshape(x, [x.shape[0], -1]);
  const features = hidden ? relu(tf.add(tf.matMul(flat, hidden.weight), hidden.bias)) : flat;
  return {
    features,
    logits: tf.add(tf.matMul(features, output.weight), output.bias),
  };
}

/** Weights normal with variance 2/inputs (He et al. 2015); biases and the output layer zero. */
function parameterSpecs(config: ClassifierConfig, key: RandomKey) {
  const own = foldIn(key, 'parameters');
  const deviation = (inputs: number) => Math.sqrt(2 / inputs);
  let { channels, height, width } = config.image;
  const convolutions = config.convolutions.map((outputs, index) => {
    const k = foldIn(own, `convolution ${index}`);
    const layer = {
      weight: normals(k, [3, 3, channels, outputs], deviation(9 * channels)),
      bias: zeros([outputs]),
    };
    [channels, height, width] = [outputs, Math.floor(height / 2), Math.floor(width / 2)];
    return layer;
  });
  const { features, classes } = config;
  const inputs = channels * height * width;
  return {
    convolutions,
    ...(features > 0 && {
      hidden: {
        weight: normals(foldIn(own, 'hidden'), [inputs, features], deviation(inputs)),
        bias: zeros([features]),
      },
    }),
    output: { weight: zeros([features || inputs, classes]), bias: zeros([classes]) },
  };
}

function checkClassifier(config: ClassifierConfig): ClassifierConfig {
  const { image, convolutions } = checkedConfig(classifierSchema, config);
  if (Math.min(image.height, image.width) < 2 ** convolutions.length) {
    throw new UserError(
      `A classifier has convolutions of [${convolutions.join(', ')}] channels on images of ${image.height}×${image.width}`,
      'Expected few enough that halving the image leaves a pixel',
    );
  }
  return config;
}

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
  checkImages(classifier, images);
  const [count] = images.shape;
  checkCount('The number of images', count);
  return tidy(() => {
    const parts = Array.from({ length: Math.ceil(count / 500) }, (_, part) =>
      // The activations of a part are freed before those of the next are made.
      tidy(() => {
        const size = Math.min(500, count - 500 * part);
        const own = tf.slice(images, [500 * part, 0, 0, 0], [size, -1, -1, -1]);
        return activations(classifier.parameters, own);
      }),
    );
    return {
      features: tf.concat(parts.map(({ features }) => features)),
      logits: tf.concat(parts.map(({ logits }) => logits)),
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
