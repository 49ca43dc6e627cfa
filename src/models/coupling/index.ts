import { classMixture } from '../../conditions/labels.js';
import { at } from '../../core/errors.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import { tf, tidy } from '../../core/tf.js';
import { type Leaves, leaves } from '../../core/tree.js';
import { actnormConvolutionSpecs } from '../../flow/actnorm-convolution.js';
import { cutImages, joinImages } from '../../flow/background.js';
import { standardising } from '../../flow/gaussian.js';
import type { Family, ForwardResult, GenerateOptions, Model } from '../../flow/model.js';
import { dimensions } from '../../flow/model.js';
import { type LeafSpec, type Specs, zeros } from '../../nn/specs.js';
import { likelihood } from '../../training/objectives/likelihood.js';
import {
  type CouplingConfig,
  checkCoupling,
  couplingSchema,
  couplingTitle,
  levelShapes,
} from './config.js';
import {
  backThroughLevels,
  type CouplingParameters,
  couplingNetworkSpecs,
  permutationName,
  throughLevels,
} from './levels.js';

/**
 * A multi-scale flow of affine couplings and invertible 1×1 convolutions (Kingma and Dhariwal 2018,
 * arXiv 1807.03039). Its buffers are the permutations in the latter, which stay as they begin.
 */
export type Coupling = Model<CouplingConfig, CouplingParameters>;

/** The family of coupling flows. */
export const coupling: Family<CouplingConfig, CouplingParameters> = {
  kind: 'coupling',
  schema: couplingSchema,
  check: checkCoupling,
  title: couplingTitle,
  specs,
  start: startFromData,
  objectives: () => [likelihood()],
  prior: { shape: (config) => [1, dimensions(config)] },
  flow: {
    forward,
    rows: ({ image }) => image.height * image.width,
    width: ({ hiddenChannels }) => hiddenChannels,
  },
  operations,
  generate,
};

function specs(
  config: CouplingConfig,
  key: RandomKey,
): { parameters: Specs<CouplingParameters>; buffers: Record<string, LeafSpec> } {
  const { stepsPerLevel, hiddenChannels: hidden, classes } = config;
  const shapes = levelShapes(config);
  const buffers: Record<string, LeafSpec> = {};
  const network = (k: RandomKey, channels: number) =>
    couplingNetworkSpecs(k, {
      inputs: Math.ceil(channels / 2),
      hidden,
      outputs: Math.floor(channels / 2),
      classes,
    });
  const levels = shapes.map(({ channels }, l) => ({
    steps: Array.from({ length: stepsPerLevel }, (_, s) => {
      const k = foldIn(foldIn(foldIn(key, 'level'), l), s);
      const { parameters, permutation } = actnormConvolutionSpecs(foldIn(k, 'mix'), channels);
      buffers[permutationName(l, s)] = permutation;
      return { mix: parameters, network: network(foldIn(k, 'network'), channels) };
    }),
    ...(l < shapes.length - 1 && { split: network(foldIn(foldIn(key, 'split'), l), channels) }),
  }));
  const { height, width, channels } = at(shapes, -1);
  const shape = [height, width, channels] as const;
  return { parameters: { levels, prior: { mean: zeros(shape), logScale: zeros(shape) } }, buffers };
}

function forward(
  { config, ...model }: Coupling,
  x: tf.Tensor4D,
  { classes }: { classes?: tf.Tensor2D | undefined },
): ForwardResult {
  const { tokens: pixels, logDet } = pixelsOf(config, x);
  const { latents, logDets } = throughLevels(config, model, pixels, classes);
  const flat = latents.map((latent) => tf.reshape(latent, [x.shape[0], -1]));
  const z = tf.expandDims(tf.concat(flat, 1), 1);
  const total = tf.addN(logDet ? [...logDets, logDet] : logDets);
  return { z, logDet: total, outputs: latents, logDets };
}

async function generate(
  { config, ...model }: Coupling,
  z: tf.Tensor3D,
  { label, signal }: GenerateOptions,
): Promise<tf.Tensor4D> {
  const shapes = levelShapes(config);
  const classes = classMixture(config, label, z.shape[0]);
  const latents = tidy(() => {
    const sizes = shapes.map(({ height, width, channels }, l) => {
      const left = l < shapes.length - 1 ? Math.floor(channels / 2) : channels;
      return [z.shape[0], height, width, left] as const;
    });
    const parts = tf.split(
      tf.squeeze(z, [1]),
      sizes.map(([, height, width, channels]) => height * width * channels),
      1,
    );
    return sizes.map((size, l) => tf.reshape(at(parts, l), size));
  });
  try {
    const pixels = await backThroughLevels(config, model, latents, classes, async () => {
      await new Promise(setImmediate);
      signal?.throwIfAborted();
    });
    const images = imagesOf(config, pixels);
    pixels.dispose();
    return images;
  } finally {
    tf.dispose([latents, classes ?? []]);
  }
}

/**
 * Actnorm: every step starts by giving its channels mean 0 and variance 1, and the prior by giving
 * that to each number that is left at the end.
 */
function startFromData(
  { config, ...model }: Coupling,
  images: tf.Tensor4D,
  { classes }: { classes?: tf.Tensor2D | undefined },
): Leaves {
  return tidy(() => {
    const started: Leaves = {};
    const { latents } = throughLevels(
      config,
      model,
      pixelsOf(config, images).tokens,
      classes,
      (step, x, name) => {
        const { mean: shift, logScale } = standardising(x, [0, 1, 2]);
        const start = { shift, logScale };
        Object.assign(started, leaves({ [`${name}.mix`]: start }));
        return { ...step, mix: { ...step.mix, ...start } };
      },
    );
    return { ...started, ...leaves({ prior: standardising(at(latents, -1), [0]) }) };
  });
}

/** Convolutions of each level at its size, and the mixing of its channels. */
function operations(config: CouplingConfig): number {
  const { stepsPerLevel, hiddenChannels: hidden, levels } = config;
  const perLevel = levelShapes(config).map(({ height, width, channels }, l) => {
    const outputs = 2 * Math.floor(channels / 2);
    const network = 9 * hidden * (Math.ceil(channels / 2) + hidden + outputs);
    const networks = stepsPerLevel + (l < levels - 1 ? 1 : 0);
    return 2 * height * width * (networks * network + stepsPerLevel * channels ** 2);
  });
  return perLevel.reduce((sum, count) => sum + count, 0);
}

/** Images (batch, height, width, channels), with the background spread where the model has one. */
function pixelsOf({ background }: CouplingConfig, images: tf.Tensor4D) {
  return cutImages<tf.Tensor4D>(background, images, (x) => tf.transpose(x, [0, 2, 3, 1]));
}

/** The way back of {@link pixelsOf}. */
function imagesOf({ background }: CouplingConfig, pixels: tf.Tensor4D): tf.Tensor4D {
  return joinImages(background, pixels, (x) => tf.transpose(x, [0, 3, 1, 2]));
}
