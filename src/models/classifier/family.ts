import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { relu } from '../../core/ops.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import { tf } from '../../core/tf.js';
import type { Family, Model, ModelConfig } from '../../flow/model.js';
import { normals, type Specs, zeros } from '../../nn/specs.js';
import { crossEntropy } from '../../training/objectives/cross-entropy.js';

/** The shape of a {@link Classifier}. */
export interface ClassifierConfig extends ModelConfig {
  kind: 'classifier';
  /**
   * Channels of each 3×3 convolution, which a ReLU and a 2×2 maximum follow. With none of them, and
   * no features, the classifier is logistic regression on the pixels.
   */
  convolutions: readonly number[];
  /** Units of the ReLU layer before the last, whose activations are the features; 0 for none. */
  features: number;
}

/** Weights are (3, 3, in, out) in a convolution and (in, out) in a linear layer. */
export type ClassifierParameters = {
  convolutions: { weight: tf.Tensor4D; bias: tf.Tensor1D }[];
  hidden?: { weight: tf.Tensor2D; bias: tf.Tensor1D };
  output: { weight: tf.Tensor2D; bias: tf.Tensor1D };
};

/** A small image classifier: convolutions, one hidden layer, logits. */
export type Classifier = Model<ClassifierConfig, ClassifierParameters>;

/** Small classifiers of images, trained on the cross-entropy. */
export const classifier: Family<ClassifierConfig, ClassifierParameters> = {
  kind: 'classifier',
  schema: z.strictObject({
    kind: z.literal('classifier'),
    image: z.strictObject({ channels: z.number(), height: z.number(), width: z.number() }),
    classes: z.number(),
    convolutions: z.array(z.number()),
    features: z.number(),
  }),
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
  let x = tf.transpose(images, [0, 2, 3, 1]) as tf.Tensor4D;
  for (const { weight, bias } of convolutions) {
    x = tf.maxPool(relu(tf.add(tf.conv2d(x, weight, 1, 'same'), bias)) as tf.Tensor4D, 2, 2, 0);
  }
  const flat = tf.reshape(x, [x.shape[0], -1]) as tf.Tensor2D;
  const features = hidden
    ? (relu(tf.add(tf.matMul(flat, hidden.weight), hidden.bias)) as tf.Tensor2D)
    : flat;
  return {
    features,
    logits: tf.add(tf.matMul(features, output.weight), output.bias) as tf.Tensor2D,
  };
}

/** Weights normal with variance 2/inputs (He et al. 2015); biases and the output layer zero. */
function parameterSpecs(config: ClassifierConfig, key: RandomKey): Specs<ClassifierParameters> {
  const own = foldIn(key, 'parameters');
  const weight = (name: string, shape: number[], inputs: number) =>
    normals(foldIn(own, name), shape, Math.sqrt(2 / inputs));
  let { channels, height, width } = config.image;
  const convolutions = config.convolutions.map((outputs, index) => {
    const shape = [3, 3, channels, outputs];
    const layer = {
      weight: weight(`convolution ${index}`, shape, 9 * channels),
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
      hidden: { weight: weight('hidden', [inputs, features], inputs), bias: zeros([features]) },
    }),
    output: { weight: zeros([features || inputs, classes]), bias: zeros([classes]) },
  };
}

function checkClassifier(config: ClassifierConfig): ClassifierConfig {
  const { image, convolutions, features } = config;
  const side = Math.min(image.height, image.width) / 2 ** convolutions.length;
  if (side < 1 || !convolutions.every((width) => Number.isInteger(width) && width > 0)) {
    throw new UserError(
      `A classifier has convolutions of [${convolutions.join(', ')}] channels on images of ${image.height}×${image.width}`,
      'Expected whole numbers above 0, and few enough that halving the image leaves a pixel',
    );
  }
  if (!(Number.isInteger(features) && features >= 0)) {
    throw new UserError(
      `A classifier has ${features} features`,
      'Expected a whole number; 0 for no hidden layer',
    );
  }
  return config;
}
