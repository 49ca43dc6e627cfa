import { tensorSpec } from '@tarflow/graph';
import { z } from 'zod';
import { mixtureRows } from '../../src/conditions/labels.js';
import { at, UserError } from '../../src/core/errors.js';
import { groupNorm, relu } from '../../src/core/ops.js';
import { foldIn, type RandomKey } from '../../src/core/random.js';
import { checkedConfig } from '../../src/core/schema.js';
import { tf, tidy } from '../../src/core/tf.js';
import { type Leaves, leaf } from '../../src/core/tree.js';
import {
  count,
  countOrNone,
  type Family,
  imageSchema,
  type Model,
  type Objective,
} from '../../src/flow/model.js';
import { convolution, convolutionSpecs, doubled } from '../../src/nn/convolution.js';
import { embedding } from '../../src/nn/layers.js';
import { type LeafSpec, normals, type Specified, shapesOf, zeros } from '../../src/nn/specs.js';
import { noisyImageFeeds } from '../../src/training/batches/index.js';
import {
  checkNoise,
  checkSampling,
  classesOf,
  evaluated,
  noiseFeed,
  noiseRows,
  type PeerSampling,
} from './peer.js';
import { powerOf, spectrallyNormal } from './spectral-norm.js';

const ganSchema = z.strictObject({
  kind: z.literal('gan'),
  image: imageSchema,
  /** Numbers of a latent. */
  latent: count,
  /** Channels of each level of both networks, that of the pixels first. Between two levels sides are halved. */
  channels: z.array(count).min(2),
  /** Groups of the generator's normalisation; divides all channels. */
  groups: count,
  /** Weight γ of R1: half the mean of the square of the gradient by real images (Mescheder et al. 2018). */
  penalty: z.number().min(0),
  classes: countOrNone,
});

/** The shape of a GAN, and the weight of its penalty. */
export interface GanConfig extends z.infer<typeof ganSchema> {}
export type GanParameters = Specified<ReturnType<typeof parameterSpecs>>;

/** A generator of images, and the discriminator that trains it. Its buffers are those of the spectral norm. */
export type Gan = Model<GanConfig, GanParameters>;

/** One image in so many of a batch is penalised: without bias, and at so small a part of the cost. */
const penalisedShare = 1 / 4;

/**
 * The family of generative adversarial networks of residual convolutions: hinge loss and spectral norm (Miyato et
 * al. 2018, arXiv 1802.05957), labels by projection (Miyato and Koyama 2018, arXiv 1802.05637), R1 (Mescheder et
 * al. 2018, arXiv 1801.04406). In each step the discriminator learns first, then the generator, in which latent
 * and class scale and shift every normalisation. A running mean of the generator is `averageDecay` of training.
 */
export const gan: Family<GanConfig, GanParameters> = {
  kind: 'gan',
  schema: ganSchema,
  trainingFields: ['penalty'],
  check: checkGan,
  title: ({ channels, latent }) => [...channels, latent].join('-'),
  specs: (config, key) => {
    const parameters = parameterSpecs(config, key);
    const powers: Record<string, LeafSpec> = powerOf(
      parameters.discriminator,
      foldIn(key, 'power'),
    );
    return { parameters, buffers: powers };
  },
  operations,
  objectives: () => [discriminating, generating],
};

function checkGan(config: GanConfig): GanConfig {
  const { image, channels, groups } = checkedConfig(ganSchema, config);
  const side = 2 ** (channels.length - 1);
  if (image.height % side !== 0 || image.width % side !== 0) {
    throw new UserError(
      `A GAN of ${channels.length} levels came for images of ${image.height}×${image.width}`,
      `Expected sides that ${side} divides: choose fewer channels`,
    );
  }
  const uneven = channels.find((width) => width % groups !== 0);
  if (uneven === undefined) return config;
  throw new UserError(
    `Levels have [${channels.join(', ')}] channels, in ${groups} groups`,
    `Choose groups that divide ${uneven}`,
  );
}

/** Sides of the lowest level. */
function lowestOf({ image, channels }: GanConfig): [height: number, width: number] {
  const side = 2 ** (channels.length - 1);
  return [image.height / side, image.width / side];
}

function parameterSpecs(config: GanConfig, key: RandomKey) {
  const { image, latent, channels, classes } = config;
  const given = classes > 0 ? 2 * latent : latent;
  const named = (name: string) => foldIn(key, name);
  const product = (name: string, inputs: number, outputs: number) => ({
    weight: normals(named(name), [inputs, outputs], 1 / Math.sqrt(inputs)),
    bias: zeros([outputs]),
  });
  const kernel = (name: string, side: number, inputs: number, outputs: number) =>
    convolutionSpecs(named(name), side, inputs, outputs);
  const [height, width] = lowestOf(config);
  const [first, last] = [at(channels, 0), at(channels, -1)];
  const steps = channels.slice(1).map((low, level) => ({ level, low, high: at(channels, level) }));
  return {
    generator: {
      ...(classes > 0 && { class_embed: normals(named('class'), [classes, latent], 1) }),
      input: product('input', given, height * width * last),
      /** The lowest one first. */
      blocks: [...steps].reverse().map(({ level, low, high }) => ({
        norm1: product(`norm1 ${level}`, given, 2 * low),
        conv1: kernel(`conv1 ${level}`, 3, low, high),
        norm2: product(`norm2 ${level}`, given, 2 * high),
        conv2: kernel(`conv2 ${level}`, 3, high, high),
        shortcut: kernel(`shortcut ${level}`, 1, low, high),
      })),
      norm: product('norm', given, 2 * first),
      output: kernel('output', 3, first, image.channels),
    },
    discriminator: {
      input: kernel('read', 3, image.channels, first),
      blocks: steps.map(({ level, low, high }) => ({
        conv1: kernel(`read1 ${level}`, 3, high, low),
        conv2: kernel(`read2 ${level}`, 3, low, low),
        shortcut: kernel(`read3 ${level}`, 1, high, low),
      })),
      output: product('score', last, 1),
      ...(classes > 0 && {
        projection: { weight: normals(named('projection'), [classes, last], 1 / Math.sqrt(last)) },
      }),
    },
  };
}

/** A third of a step for one image: 4 passes of the generator, and 8 and 6 for each penalised of the other. */
function operations(config: GanConfig): number {
  const { generator, discriminator } = parameterSpecs(config, { high: 0, low: 0 });
  const { height, width } = config.image;
  const last = config.channels.length - 1;
  const pass = (part: unknown, levelOf: (name: string, index: number) => number): number =>
    Object.entries(shapesOf(part)).reduce((sum, [name, shape]) => {
      if (shape.length < 2 || /embed|projection/.test(name)) return sum;
      const level = levelOf(name, Number(/blocks\.(\d+)/.exec(name)?.[1] ?? 0));
      const places = shape.length === 4 ? (height * width) / 4 ** level : 1;
      return sum + 2 * places * shape.reduce((product, side) => product * side, 1);
    }, 0);
  const making = pass(generator, (name, index) => {
    if (!name.startsWith('blocks')) return 0;
    return last - index - (name.includes('shortcut') ? 0 : 1);
  });
  const judging = pass(discriminator, (name, index) => index + (name.includes('shortcut') ? 1 : 0));
  return (4 * making + (8 + 6 * penalisedShare) * judging) / 3;
}

/** Images (batch, channels, height, width) in [−1, 1] of latents (batch, latent). Pure. */
export function generated(
  { config, parameters: { generator } }: Gan,
  latents: tf.Tensor2D,
  classes: tf.Tensor2D | undefined,
): tf.Tensor4D {
  const { class_embed, input, blocks, norm, output } = generator;
  const [batch] = latents.shape;
  const about = class_embed && embedding(class_embed, classes);
  const all = about && tf.add(about, tf.zerosLike(latents));
  const given = all ? tf.concat([latents, all], 1) : latents;
  const product = ({ weight, bias }: typeof input) => tf.add(tf.matMul(given, weight), bias);
  const normal = (x: tf.Tensor4D, parameters: typeof input): tf.Tensor4D => {
    const channels = x.shape[3];
    const own = groupNorm(x, tf.ones([channels]), tf.zeros([channels]), config.groups);
    const sides = tf.reshape(product(parameters), [batch, 1, 1, 2 * channels]);
    const [scale, shift] = tf.split(sides, 2, 3);
    return relu(tf.add(tf.mul(own, tf.add(scale, 1)), shift));
  };
  let x: tf.Tensor4D = tf.reshape(product(input), [batch, ...lowestOf(config), -1]);
  for (const { norm1, conv1, norm2, conv2, shortcut } of blocks) {
    x = tidy(() => {
      const wide = convolution(doubled(normal(x, norm1)), conv1);
      const inner = convolution(normal(wide, norm2), conv2);
      return tf.add(inner, doubled(convolution(x, shortcut)));
    });
  }
  return tf.transpose(tf.tanh(convolution(normal(x, norm), output)), [0, 3, 1, 2]);
}

/**
 * How real images (batch, channels, height, width) look (batch), by normalised weights. Pure; its gradient has
 * a gradient, as that of `relu` of core has not.
 */
function scores(
  { input, blocks, output, projection }: GanParameters['discriminator'],
  images: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
): tf.Tensor1D {
  let x = convolution(tf.transpose(images, [0, 2, 3, 1]), input);
  for (const { conv1, conv2, shortcut } of blocks) {
    // A mean of convolutions of 1×1 is a convolution of means, at a quarter of the cost.
    const inner = convolution(tf.relu(convolution(tf.relu(x), conv1)), conv2);
    x = tf.add(halved(inner), convolution(halved(x), shortcut));
  }
  const features = tf.sum<tf.Tensor4D, [1, 2]>(tf.relu(x), [1, 2]);
  const score = tf.add(tf.matMul(features, output.weight), output.bias);
  if (!projection) return tf.squeeze(score, [1]);
  const match = tf.sum(tf.mul(features, embedding(projection.weight, classes)), 1);
  return tf.add(tf.squeeze(score, [1]), match);
}

/** Means of 2×2 places, of (batch, height, width, channels): with a gradient that has one, too. */
function halved(x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const rows = tf.mean(tf.reshape(x, [(batch * height) / 2, 2, width, channels]), 1);
  const pairs = tf.reshape(rows, [(batch * height) / 2, width / 2, 2, channels]);
  return tf.reshape(tf.mean(pairs, 2), [batch, height / 2, width / 2, channels]);
}

type GanObjective = Objective<GanConfig, GanParameters>;

/** Hinge loss and R1. Its terms: mean scores `real` and `fake`, and the squared gradient `steepness`. */
const discriminating: GanObjective = {
  name: 'discriminator',
  inputs: ({ image, classes, latent }, batch) => ({
    images: tensorSpec([batch, image.channels, image.height, image.width]),
    latents: tensorSpec([batch, latent]),
    ...(classes > 0 && { classes: tensorSpec([batch, classes]) }),
  }),
  feeds(config, raw, keys, settings) {
    checkNoise(settings.noise, 'none', 'A GAN reads pixels as they are');
    const latents = noiseFeed(keys, 'latent', config.latent);
    return { ...noisyImageFeeds(config, raw, keys, settings), latents };
  },
  trains: (name) => name.startsWith('discriminator.'),
  loss(model, batch) {
    const { config, parameters, buffers } = model;
    const { normal, powers } = spectrallyNormal(parameters.discriminator, buffers);
    const { images, latents, classes } = inputsOf(batch);
    const real = scores(normal, images, classes);
    const fake = scores(normal, generated(model, latents, classes), classes);
    const hinge = tf.add(tf.mean(relu(tf.sub(1, real))), tf.mean(relu(tf.add(1, fake))));
    const ofMeans = { real: tf.mean(real), fake: tf.mean(fake) };
    if (config.penalty === 0) return { loss: hinge, terms: ofMeans, buffers: powers };
    const some = Math.max(1, Math.floor(images.shape[0] * penalisedShare));
    const seen = tf.slice(images, 0, some);
    const own = classes && tf.slice(classes, 0, some);
    const slope = tf.grad((x: tf.Tensor4D) => tf.sum(scores(normal, x, own)))(seen);
    const steepness = tf.mean(tf.sum(tf.square(slope), [1, 2, 3]));
    return {
      loss: tf.add(hinge, tf.mul(steepness, config.penalty / 2)),
      terms: { ...ofMeans, steepness },
      buffers: powers,
    };
  },
};

/** Minus the mean score of generated images. */
const generating: GanObjective = {
  name: 'generator',
  inputs: ({ classes, latent }, batch) => ({
    latents: tensorSpec([batch, latent]),
    ...(classes > 0 && { classes: tensorSpec([batch, classes]) }),
  }),
  feeds: (config, { labels }, keys) => ({
    latents: noiseFeed(keys, 'latent', config.latent),
    ...(config.classes > 0 && { classes: mixtureRows(labels, labels.length, config) }),
  }),
  trains: (name) => name.startsWith('generator.'),
  loss(model, batch) {
    const { normal } = spectrallyNormal(model.parameters.discriminator, model.buffers);
    const classes = batch.classes && leaf(batch, 'classes', 2);
    const images = generated(model, leaf(batch, 'latents', 2), classes);
    return { loss: tf.neg(tf.mean(scores(normal, images, classes))), terms: {} };
  },
};

function inputsOf(batch: Leaves) {
  return {
    images: leaf(batch, 'images', 4),
    latents: leaf(batch, 'latents', 2),
    classes: batch.classes && leaf(batch, 'classes', 2),
  };
}

/**
 * Samples of a GAN (count, channels, height, width), in [−1, 1].
 * @throws UserError for a wrong count or label, and for steps or guidance, of which it has none
 */
export function sampleGan(model: Gan, options: PeerSampling): tf.Tensor4D {
  checkSampling(model, options);
  const { count: rows, seed, label } = options;
  return tidy(() => {
    const latents = noiseRows(seed, 'sample', [rows, model.config.latent]);
    return evaluated(
      'generate',
      model,
      { latents, ...classesOf(model, label, rows) },
      (own, given) => {
        const classes = given.classes && leaf(given, 'classes', 2);
        return { made: generated(own, leaf(given, 'latents', 2), classes) };
      },
    ).made;
  });
}
