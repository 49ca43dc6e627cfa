import { tensorSpec } from '@tarflow/graph';
import { at, UserError } from '../../core/errors.js';
import { foldIn, normalInto } from '../../core/random.js';
import { tf } from '../../core/tf.js';
import type { Leaves } from '../../core/tree.js';
import { sizeOf } from '../../data/source.js';
import type { Objective, Posterior } from '../../flow/model.js';
import {
  lite0Activations,
  lite0File,
  lite0Input,
  publishedLite0,
  readLite0,
} from '../../pretrained/efficientnet-lite0.js';
import { colourImages } from '../../pretrained/feature-network.js';
import { noisyImageFeeds } from '../../training/batches/index.js';
import { latentsOf, type VaeConfig } from './config.js';
import { decoded, encoded } from './networks.js';
import type { VaeParameters } from './parameters.js';

/**
 * Images through latents and back. The loss is the mean absolute error of a pixel, with those of
 * the configuration's other terms that have a weight. Its terms:
 * - `absoluteError` and `squareError`, means over all numbers of the images
 * - `kl`, of the posterior from a standard normal, nats per number of a latent
 * - `features`, as `featureLoss`, where it has a weight
 * - `psnr` of the images, clipped to [−1, 1], in decibels
 *
 * Where the decoder alone is trained, or noise is added to latents, it begins with their means; else
 * with a draw of the posterior (Kingma and Welling 2013).
 */
export function reconstruction({ loss: weights }: VaeConfig): Objective<VaeConfig, VaeParameters> {
  return {
    name: 'reconstruction',
    inputs(config, batch) {
      const { image } = config;
      const latents = latentsOf(config, image);
      return {
        images: tensorSpec([batch, image.channels, image.height, image.width]),
        noise: tensorSpec([batch, latents.channels, latents.height, latents.width]),
      };
    },
    feeds(config, raw, keys, settings) {
      if (settings.noise.kind !== 'none') {
        throw new UserError(
          `An autoencoder came with ${settings.noise.kind} noise`,
          'It is trained on images as they are: set noise=none; noise on latents is loss.latentNoise',
        );
      }
      const size = sizeOf(latentsOf(config, raw.image));
      const noise = new Float32Array(keys.length * size);
      keys.forEach((key, sample) => {
        normalInto(foldIn(key, 'latent'), noise, sample * size, size);
      });
      return { ...noisyImageFeeds(config, raw, keys, settings), noise };
    },
    trains: (leaf) => weights.trained === 'all' || /^(post_quant_conv|decoder)\./.test(leaf),
    ...(weights.features > 0 && { fixed: featureWeights }),
    loss({ config, parameters }, batch, fixed) {
      const { images, noise } = batch as { images: tf.Tensor4D; noise: tf.Tensor4D };
      const posterior = encoded(config, parameters, images);
      const latents = noisyLatents(config, posterior, noise);
      const made = decoded(config, parameters, latents);
      const absoluteError = tf.mean(tf.abs(tf.sub(made, images)));
      const squareError = tf.mean(tf.squaredDifference(made, images));
      const kl = divergence(posterior);
      const features = weights.features > 0 ? featureLoss(fixed, made, images) : undefined;
      const weighted = [
        absoluteError,
        ...(weights.squares > 0 ? [tf.mul(squareError, weights.squares)] : []),
        ...(weights.kl > 0 ? [tf.mul(kl, weights.kl)] : []),
        ...(features ? [tf.mul(features, weights.features)] : []),
      ];
      const psnr = meanDecibels(made, images);
      const terms: Leaves = { absoluteError, squareError, kl, ...(features && { features }), psnr };
      return { loss: tf.addN(weighted), terms };
    },
  };
}

/** What the decoder reads in training. */
function noisyLatents(
  { loss: { trained, latentNoise } }: VaeConfig,
  { mean, logVariance }: Posterior,
  noise: tf.Tensor4D,
): tf.Tensor4D {
  if (latentNoise !== undefined) {
    const { variance } = tf.moments(mean);
    const deviation = tf.mul(tf.sqrt(variance), latentNoise);
    return tf.add(mean, tf.mul(noise, deviation));
  }
  if (trained === 'decoder') return mean;
  return tf.add(mean, tf.mul(noise, tf.exp(tf.mul(logVariance, 0.5))));
}

/** Of a standard normal, nats per number. */
function divergence({ mean, logVariance }: Posterior): tf.Scalar {
  const squares = tf.add(tf.square(mean), tf.exp(logVariance));
  return tf.mul(tf.mean(tf.sub(tf.sub(squares, logVariance), 1)), 0.5);
}

/** Mean over the images of their ratios of peak signal to noise; the range of a pixel is 2. */
function meanDecibels(made: tf.Tensor4D, images: tf.Tensor4D): tf.Scalar {
  const clipped = tf.clipByValue(made, -1, 1);
  const squares = tf.mean(tf.squaredDifference(clipped, images), [1, 2, 3]);
  const ratio = tf.log(tf.div(4, tf.maximum(squares, 1e-10)));
  return tf.mul(tf.mean(ratio), 10 / Math.LN10);
}

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
    const square = tf.square(tf.sub(one, at(theirs, scale)));
    return tf.mean(tf.sum(square, -1));
  });
  return tf.div(tf.addN(distances), distances.length);
}

/** Activations (…, channels) with length 1 at each place. */
function direction(activations: tf.Tensor4D): tf.Tensor4D {
  const inverse = tf.rsqrt(tf.add(tf.sum(tf.square(activations), -1, true), epsilon));
  return tf.mul(activations, inverse);
}
