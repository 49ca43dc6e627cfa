import { UserError } from '../backend/errors.js';
import { randomKey } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import { disposeTree } from '../backend/tree.js';
import { narrowBackground, spreadBackground } from './background.js';
import { blockForward, type FlowBlock } from './block.js';
import { dimensions, type FlowConfig, type ImageSize, tokenCount, tokenWidth } from './config.js';
import { classMixture, type Label } from './labels.js';
import { type FlowParameters, initialParameters } from './parameters.js';
import { patchify, unpatchify } from './patches.js';

/** A transformer autoregressive flow: its shape, its parameters and its prior's variance. */
export interface TarFlow {
  config: FlowConfig;
  parameters: FlowParameters;
  /** Variance of the prior, (T, D) in raster order; ones unless the model is volume preserving. */
  variance: tf.Tensor2D;
}

/** A fresh flow from a seed. The caller frees it with {@link disposeFlow}. */
export function createFlow(config: FlowConfig, seed: number): TarFlow {
  return {
    config,
    parameters: initialParameters(config, randomKey(seed)),
    variance: tf.ones([tokenCount(config), tokenWidth(config)]) as tf.Tensor2D,
  };
}

/** Frees the parameters and the prior's variance. */
export function disposeFlow(flow: TarFlow): void {
  disposeTree(flow.parameters);
  flow.variance.dispose();
}

/** The blocks of a flow, nearest the data first. */
export function flowBlocks(flow: TarFlow): FlowBlock[] {
  return flow.parameters.blocks.map((parameters, index) => ({
    config: flow.config,
    parameters,
    index,
  }));
}

export interface ForwardResult {
  /** Latent (batch, T, D), in raster order. */
  z: tf.Tensor3D;
  /** log |det dz/dx| per sample (batch), in nats, summed over dimensions, that of the background too. */
  logDet: tf.Tensor1D;
  /** The output of each block (batch, T, D), nearest the data first; the last one is z. */
  outputs: tf.Tensor3D[];
  /** The log-determinant of each block (batch). */
  logDets: tf.Tensor1D[];
}

/**
 * Data to noise, the normalising direction. Parallel over tokens.
 *
 * @param x images (batch, channels, height, width), about [−1, 1]
 * @param label class per sample; −1 or absent reads as the mean of all classes
 * @returns tensors that the caller frees
 * @throws UserError where the images or labels do not fit the model
 */
export function forward(flow: TarFlow, x: tf.Tensor4D, label?: Label): ForwardResult {
  return tf.tidy(() => {
    checkImages(flow.config, x);
    const classes = classMixture(flow.config, label, x.shape[0]);
    return forwardImages(flow, x, classes) as never;
  }) as unknown as ForwardResult;
}

/** {@link forward} on class mixtures and without checks, for use inside a gradient. */
export function forwardImages(flow: TarFlow, x: tf.Tensor4D, classes?: tf.Tensor2D): ForwardResult {
  const { tokens, logDet } = tokensOf(flow.config, x);
  const result = forwardTokens(flow, tokens, classes);
  return logDet ? { ...result, logDet: tf.add(result.logDet, logDet) } : result;
}

/**
 * What the first block reads of images (batch, channels, height, width): their patches, with the
 * background spread where the model has one.
 *
 * @returns tokens (batch, T, D), and the log-determinant (batch) of spreading; the caller frees both
 */
export function tokensOf(
  config: FlowConfig,
  images: tf.Tensor4D,
): { tokens: tf.Tensor3D; logDet?: tf.Tensor1D } {
  if (config.background === undefined) return { tokens: patchify(config, images) };
  const { y, logDet } = spreadBackground(config.background, images);
  const tokens = patchify(config, y);
  y.dispose();
  return { tokens, logDet };
}

/** The way back of {@link tokensOf}: images (batch, channels, height, width) from tokens. */
export function imagesOf(config: FlowConfig, tokens: tf.Tensor3D): tf.Tensor4D {
  const pixels = unpatchify(config, tokens);
  if (config.background === undefined) return pixels;
  const images = narrowBackground(config.background, pixels);
  pixels.dispose();
  return images;
}

/** {@link forward} from the first block on: tokens (batch, T, D) and class mixtures. */
export function forwardTokens(
  flow: TarFlow,
  tokens: tf.Tensor3D,
  classes?: tf.Tensor2D,
): ForwardResult {
  const outputs: tf.Tensor3D[] = [];
  const logDets: tf.Tensor1D[] = [];
  let z = tokens;
  for (const block of flowBlocks(flow)) {
    const result = tf.tidy(() => blockForward(block, z, classes) as never) as ReturnType<
      typeof blockForward
    >;
    z = result.z;
    outputs.push(z);
    logDets.push(result.logDet);
  }
  return { z, logDet: tf.addN(logDets) as tf.Tensor1D, outputs, logDets };
}

/** The two terms of the training loss and their sum, per dimension, as scalars. */
export interface FlowLoss {
  /** ½·mean(z²) − mean log-determinant per dimension (TarFlow, eq. 6; no ½·log 2π). */
  loss: tf.Scalar;
  /** ½·mean(z²). */
  prior: tf.Scalar;
  /** Mean over the batch of the log-determinant per dimension. */
  logDet: tf.Scalar;
  /** Mean square of each block's output (blocks); tends to 1 in a trained model. */
  meanSquares: tf.Tensor1D;
}

/** The training loss from a forward pass. */
export function flowLoss(flow: TarFlow, result: ForwardResult): FlowLoss {
  const size = dimensions(flow.config);
  const meanSquares = tf.stack(
    result.outputs.map((output) => tf.mean(tf.square(output))),
  ) as tf.Tensor1D;
  const prior = tf.mul(tf.mean(tf.square(result.z)), 0.5) as tf.Scalar;
  const logDet = tf.div(tf.mean(result.logDet), size) as tf.Scalar;
  return { loss: tf.sub(prior, logDet) as tf.Scalar, prior, logDet, meanSquares };
}

/**
 * The density of images under the flow with a standard normal prior, exact.
 *
 * @param x images (batch, channels, height, width)
 * @returns log p(x) per sample (batch), in nats
 */
export function logProb(flow: TarFlow, x: tf.Tensor4D, label?: Label): tf.Tensor1D {
  return tf.tidy(() => logProbOf(flow.config, forward(flow, x, label)));
}

/** {@link logProb} from a forward pass. */
export function logProbOf(config: FlowConfig, { z, logDet }: ForwardResult): tf.Tensor1D {
  const constant = halfLog2Pi * dimensions(config);
  const prior = tf.add(tf.mul(tf.sum(tf.square(z), [1, 2]), 0.5), constant);
  return tf.sub(logDet, prior) as tf.Tensor1D;
}

/** ½·log 2π. */
export const halfLog2Pi = 0.5 * Math.log(2 * Math.PI);

/**
 * The prior's variance after a step of its running mean: v + 0.1·(mean z² − v). Used in training
 * volume-preserving models only.
 *
 * @returns a new (T, D) tensor; the caller frees the old one
 */
export function updatedVariance(variance: tf.Tensor2D, z: tf.Tensor3D): tf.Tensor2D {
  return tf.tidy(() =>
    tf.add(variance, tf.mul(tf.sub(tf.mean(tf.square(z), 0), variance), 0.1)),
  ) as tf.Tensor2D;
}

/**
 * Checks that images fit a model.
 * @throws UserError that says what came and what the model takes
 */
export function checkImages(config: FlowConfig, x: tf.Tensor): void {
  const { channels, height, width } = config.image;
  if (x.rank !== 4 || x.shape[1] !== channels || x.shape[2] !== height || x.shape[3] !== width) {
    throw new UserError(
      `Images of shape (${x.shape.join(', ')}) came`,
      `This model takes (batch, ${channels}, ${height}, ${width})`,
    );
  }
}

/**
 * Checks that a set of images fits a model.
 * @throws UserError that says what came and what the model takes
 */
export function checkImageSize(config: FlowConfig, image: ImageSize, name: string): void {
  const { channels, height, width } = config.image;
  if (image.channels !== channels || image.height !== height || image.width !== width) {
    throw new UserError(
      `${name} has images of ${image.channels}×${image.height}×${image.width} (channels × height × width)`,
      `This model takes ${channels}×${height}×${width}`,
    );
  }
}
