import { UserError } from '../../core/errors.js';
import { tf } from '../../core/tf.js';
import type { Leaves } from '../../core/tree.js';
import {
  lite0Activations,
  lite0File,
  lite0Input,
  publishedLite0,
  readLite0,
} from '../../pretrained/lite0-network.js';
import { colourImages } from '../../pretrained/seen-images.js';

/** Activations of so many scales are compared: those of 1/2, 1/4, 1/8 and 1/16 of the sides. */
const scales = 4;

/** Added to the square of a length before its root. */
const epsilon = 1e-6;

/**
 * The weights that {@link featureLoss} takes.
 * @throws UserError where they are not there, or the engine cannot take the network's gradient
 */
export async function featureWeights(): Promise<Leaves> {
  if (!tf.getKernel('DepthwiseConv2dNativeBackpropInput', tf.getBackend())) {
    throw new UserError(
      `The engine ${tf.getBackend()} has no gradient of EfficientNet-Lite0`,
      'Train on the native engine, or without features: set loss.features=0',
    );
  }
  return (await readLite0(lite0File())).weights;
}

/**
 * How far images are from others in the eyes of EfficientNet-Lite0, as LPIPS measures it (Zhang et al.
 * 2018, arXiv 1801.03924) without weights that are learnt: at each place the activations' directions
 * are compared, by the square of their distance; the mean over places, images and scales. The network
 * sees images in the size that they have.
 *
 * @param weights as {@link featureWeights} gives them; no gradient flows to them
 * @param images (batch, 1 or 3, height, width) in [−1, 1]
 * @param others of the same shape
 */
export function featureLoss(weights: Leaves, images: tf.Tensor4D, others: tf.Tensor4D): tf.Scalar {
  const directions = (seen: tf.Tensor4D): tf.Tensor4D[] => {
    const colour = colourImages(seen, publishedLite0.network);
    return lite0Activations(weights, lite0Input(colour)).scales.slice(0, scales).map(direction);
  };
  const [own, theirs] = [directions(images), directions(others)];
  const distances = own.map((one, scale) => {
    const square = tf.square(tf.sub(one, theirs[scale] as tf.Tensor4D));
    return tf.mean(tf.sum(square, -1));
  });
  return tf.div(tf.addN(distances), distances.length);
}

/** Activations (…, channels) with length 1 at each place. */
function direction(activations: tf.Tensor4D): tf.Tensor4D {
  const inverse = tf.rsqrt(tf.add(tf.sum(tf.square(activations), -1, true), epsilon));
  return tf.mul(activations, inverse);
}
