import { tensorSpec } from '@tarflow/graph';
import { z } from 'zod';
import { linear } from '../../src/core/ops.js';
import { foldIn, type RandomKey } from '../../src/core/random.js';
import { checkedConfig } from '../../src/core/schema.js';
import { tf, tidy } from '../../src/core/tf.js';
import { leaf } from '../../src/core/tree.js';
import { sizeOf } from '../../src/data/source.js';
import {
  checkImages,
  count,
  countOrNone,
  dimensions,
  type Family,
  imageSchema,
  type Model,
  type Objective,
} from '../../src/flow/model.js';
import { checkVae, latentsOf, shrinkage, type VaeConfig } from '../../src/models/vae/config.js';
import { decoded, encoded } from '../../src/models/vae/networks.js';
import { vaeSpecs } from '../../src/models/vae/parameters.js';
import { embedding, linearSpecs } from '../../src/nn/layers.js';
import { normals, type Specified, shapesOf } from '../../src/nn/specs.js';
import { noisyImageFeeds } from '../../src/training/batches/index.js';
import { logisticLogProb } from './discretised-logistic.js';
import {
  checkNoise,
  checkSampling,
  classesOf,
  evaluated,
  noiseFeed,
  noiseRows,
  type PeerSampling,
} from './peer.js';

const pixelVaeSchema = z.strictObject({
  kind: z.literal('pixel-vae'),
  image: imageSchema,
  /** Channels of each level, that of the pixels first. Between two levels sides are halved. */
  channels: z.array(count).min(1),
  /** Residual blocks of a level in the encoder; the decoder has one more. */
  resnetsPerLevel: count,
  /** Groups of a normalisation; divides all channels. */
  groups: count,
  /** Channels of the lowest level, where a linear layer stands between it and the latent. */
  lowestChannels: count,
  /** Numbers of a latent. */
  latent: count,
  /** Weight of the divergence in training; 1 for the bound itself (Higgins et al. 2017). */
  beta: z.number().min(0),
  classes: countOrNone,
});

/** The shape of a variational autoencoder of pixels. */
export interface PixelVaeConfig extends z.infer<typeof pixelVaeSchema> {}
export type PixelVaeParameters = Specified<ReturnType<typeof parameterSpecs>>;

/** A generative model of pixels with a bound on its likelihood. */
export type PixelVae = Model<PixelVaeConfig, PixelVaeParameters>;

/**
 * The family of variational autoencoders of 8-bit pixels (Kingma and Welling 2013, arXiv 1312.6114), with one
 * latent vector. Their networks are those of the library's autoencoder; pixels are logistic, by themselves, and
 * cut into grey levels. Labels are read by encoder and decoder.
 */
export const pixelVae: Family<PixelVaeConfig, PixelVaeParameters> = {
  kind: 'pixel-vae',
  schema: pixelVaeSchema,
  trainingFields: ['beta'],
  check(config) {
    checkVae(networkOf(checkedConfig(pixelVaeSchema, config), config.image.channels));
    return config;
  },
  title: ({ channels, resnetsPerLevel, latent }) =>
    [...channels, resnetsPerLevel, latent].join('-'),
  specs: (config, key) => ({ parameters: parameterSpecs(config, key), buffers: {} }),
  operations,
  objectives: () => [bound],
};

/** The library's autoencoder with these sizes, for images of some channels. */
function networkOf(config: PixelVaeConfig, imageChannels: number): VaeConfig {
  const { image, channels, resnetsPerLevel, groups, lowestChannels: latentChannels } = config;
  return {
    kind: 'vae',
    image: { ...image, channels: imageChannels },
    classes: 0,
    ...{ channels, resnetsPerLevel, groups, latentChannels, midAttention: false },
    loss: { trained: 'all', kl: 0, squares: 0, features: 0 },
  };
}

function parameterSpecs(config: PixelVaeConfig, key: RandomKey) {
  const { image, latent, classes } = config;
  const network = networkOf(config, image.channels);
  const lowest = sizeOf(latentsOf(network, image));
  const reading = vaeSpecs(network, foldIn(key, 'read')).parameters;
  // Of each number of an image its mean and log-scale.
  const writing = vaeSpecs(networkOf(config, 2 * image.channels), foldIn(key, 'write')).parameters;
  const table = (name: string, width: number) =>
    classes > 0 ? { [name]: normals(foldIn(key, name), [classes, width], 0.1) } : {};
  return {
    encoder: reading.encoder,
    quant_conv: reading.quant_conv,
    to_latent: linearSpecs(foldIn(key, 'to_latent'), 2 * latent, 2 * lowest),
    from_latent: linearSpecs(foldIn(key, 'from_latent'), lowest, latent),
    post_quant_conv: writing.post_quant_conv,
    decoder: writing.decoder,
    /** What a class adds to the posterior, and to what the decoder reads. */
    class_embed: { ...table('posterior', 2 * latent), ...table('decoder', lowest) },
  };
}

/** All kernels at the places of their levels, and the linear layers once. */
function operations(config: PixelVaeConfig): number {
  const { height, width } = config.image;
  const last = config.channels.length - 1;
  const places = (level: number) => (height * width) / 4 ** level;
  const levelOf = (name: string): number => {
    const [, side, index = '0', inside] = /(down|up)_blocks\.(\d+)\.(\w+)/.exec(name) ?? [];
    // What halves or doubles sides is computed at those that it makes.
    if (side === 'down') return Number(index) + (inside === 'downsamplers' ? 1 : 0);
    if (side === 'up') return last - Number(index) - (inside === 'upsamplers' ? 1 : 0);
    return /encoder\.conv_in|decoder\.conv_out/.test(name) ? 0 : last;
  };
  const shapes = Object.entries(shapesOf(parameterSpecs(config, { high: 0, low: 0 })));
  return shapes.reduce((sum, [name, shape]) => {
    if (shape.length < 2 || name.startsWith('class_embed')) return sum;
    const size = shape.reduce((product, side) => product * side, 1);
    return sum + 2 * size * (shape.length === 4 ? places(levelOf(name)) : 1);
  }, 0);
}

/** Mean and log-variance (batch, latent) of the latents of images. Pure. */
function posteriorOf(
  { config, parameters }: PixelVae,
  images: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
): { mean: tf.Tensor2D; logVariance: tf.Tensor2D } {
  const { to_latent, class_embed } = parameters;
  const { mean, logVariance } = encoded(config, parameters, images);
  const both = tf.concat([mean, logVariance], 1);
  const flat = tf.reshape(both, [images.shape[0], -1]);
  const found = linear(flat, to_latent.weight, to_latent.bias);
  const { posterior } = class_embed;
  const moved = posterior ? tf.add(found, embedding(posterior, classes)) : found;
  const [own, raw] = tf.split(moved, 2, 1);
  return { mean: own, logVariance: tf.clipByValue(raw, -20, 10) };
}

/** Mean and log-scale (batch, channels, height, width) of the pixels of latents (batch, latent). Pure. */
function pixelsOf(
  { config, parameters }: PixelVae,
  latents: tf.Tensor2D,
  classes: tf.Tensor2D | undefined,
): { mean: tf.Tensor4D; logScale: tf.Tensor4D } {
  const { from_latent, class_embed } = parameters;
  const flat = linear(latents, from_latent.weight, from_latent.bias);
  const { decoder } = class_embed;
  const moved = decoder ? tf.add(flat, embedding(decoder, classes)) : flat;
  const { height, width } = config.image;
  const side = shrinkage(config);
  const lowest = tf.reshape(moved, [-1, config.lowestChannels, height / side, width / side]);
  const [mean, raw] = tf.split(decoded(config, parameters, lowest), 2, 1);
  return { mean, logScale: tf.clipByValue(raw, -7, 3) };
}

/** log P(x | z) of draws of the posterior, its divergence from the prior, and log w = log P(x, z)/q(z | x). */
function terms(
  model: PixelVae,
  images: tf.Tensor4D,
  noise: tf.Tensor2D,
  classes: tf.Tensor2D | undefined,
): { logProb: tf.Tensor1D; divergence: tf.Tensor1D; logWeight: tf.Tensor1D } {
  const { mean, logVariance } = posteriorOf(model, images, classes);
  const z = tf.add(mean, tf.mul(noise, tf.exp(tf.mul(logVariance, 0.5))));
  const pixels = pixelsOf(model, z, classes);
  const each = logisticLogProb(images, pixels.mean, pixels.logScale);
  const logProb = tf.sum(each, [1, 2, 3]);
  const squares = tf.add(tf.square(mean), tf.exp(logVariance));
  const excess = tf.sub(tf.sub(squares, logVariance), 1);
  // log N(z; 0, 1) − log q(z | x), whose constants are the same.
  const ratio = tf.sub(tf.add(tf.square(noise), logVariance), tf.square(z));
  return {
    logProb,
    divergence: tf.mul(tf.sum(excess, 1), 0.5),
    logWeight: tf.add(logProb, tf.mul(tf.sum(ratio, 1), 0.5)),
  };
}

/** −log P(x | z) + β·KL, nats per dimension. Its terms: `bits` of the bound itself, `kl` nats per dimension. */
const bound: Objective<PixelVaeConfig, PixelVaeParameters> = {
  name: 'bound',
  inputs: ({ image, classes, latent }, batch) => ({
    images: tensorSpec([batch, image.channels, image.height, image.width]),
    noise: tensorSpec([batch, latent]),
    ...(classes > 0 && { classes: tensorSpec([batch, classes]) }),
  }),
  feeds(config, raw, keys, settings) {
    checkNoise(settings.noise, 'none', 'A VAE of pixels reads grey levels as they are');
    const noise = noiseFeed(keys, 'latent', config.latent);
    return { ...noisyImageFeeds(config, raw, keys, settings), noise };
  },
  trains: () => true,
  loss(model, batch) {
    const classes = batch.classes && leaf(batch, 'classes', 2);
    const size = dimensions(model.config);
    const found = terms(model, leaf(batch, 'images', 4), leaf(batch, 'noise', 2), classes);
    const error = tf.div(tf.mean(found.logProb), -size);
    const kl = tf.div(tf.mean(found.divergence), size);
    return {
      loss: tf.add(error, tf.mul(kl, model.config.beta)),
      terms: { bits: tf.div(tf.add(error, kl), Math.LN2), kl },
    };
  },
};

/**
 * Log importance weights of images: their mean over draws is the evidence bound, and log of the mean of their
 * exponentials the bound of Burda et al. 2015 (arXiv 1509.00519), see {@link importanceBits}.
 *
 * @param images (batch, channels, height, width) of grey levels k/127.5 − 1
 * @returns (draws, batch) in nats, which the caller frees
 * @throws UserError for images or labels that do not fit the model
 */
export function logWeights(
  model: PixelVae,
  images: tf.Tensor4D,
  { seed, draws = 64, label }: { seed: number; draws?: number; label?: PeerSampling['label'] },
): tf.Tensor2D {
  checkImages(model, images);
  const [rows] = images.shape;
  return tidy(() => {
    const classes = classesOf(model, label, rows);
    const each = Array.from({ length: draws }, (_, draw) => {
      const noise = noiseRows(seed, `draw ${draw}`, [rows, model.config.latent]);
      const inputs = { images, noise, ...classes };
      return evaluated('logWeights', model, inputs, (traced, given) => {
        const own = given.classes && leaf(given, 'classes', 2);
        const found = terms(traced, leaf(given, 'images', 4), leaf(given, 'noise', 2), own);
        return { made: found.logWeight };
      }).made;
    });
    return tf.stack(each);
  });
}

/**
 * The importance-weighted bound: bits per dimension (batch) that are at least those of the model, and at most
 * those of the evidence bound in expectation; the more draws, the fewer.
 *
 * @param weights as {@link logWeights} gives them
 */
export function importanceBits(
  { config }: Pick<PixelVae, 'config'>,
  weights: tf.Tensor2D,
): tf.Tensor1D {
  return tidy(() => {
    const nats = tf.sub(tf.logSumExp<tf.Tensor1D>(weights, 0), Math.log(weights.shape[0]));
    return tf.div(nats, -dimensions(config) * Math.LN2);
  });
}

/**
 * Samples of a VAE (count, channels, height, width), in [−1, 1]: the means of pixels of latents that are drawn
 * from the prior, without the pixels' own noise.
 *
 * @throws UserError for a wrong count or label, and for steps or guidance, of which it has none
 */
export function samplePixelVae(model: PixelVae, options: PeerSampling): tf.Tensor4D {
  checkSampling(model, options);
  const { count: rows, seed, label } = options;
  return tidy(() => {
    const latents = noiseRows(seed, 'sample', [rows, model.config.latent]);
    const inputs = { latents, ...classesOf(model, label, rows) };
    const { mean } = evaluated('decodePixels', model, inputs, (traced, given) => {
      const classes = given.classes && leaf(given, 'classes', 2);
      return { mean: pixelsOf(traced, leaf(given, 'latents', 2), classes).mean };
    });
    return tf.clipByValue(mean, -1, 1);
  });
}
