import { type Given, givenConditions } from '../conditions/given.js';
import { UserError } from '../core/errors.js';
import { randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { disposeTree, type Leaves, type Tree } from '../core/tree.js';
import type { ImageSize } from '../data/source.js';
import { built } from '../nn/specs.js';
import type { AutoregressiveBlock } from './autoregressive.js';
import type { Family, ForwardResult, Model, ModelConfig } from './model.js';

/** What a family may be able to do, and how an error calls it. */
const abilities = {
  flow: 'density',
  generator: 'sampler',
  blocks: 'autoregressive blocks',
  tokens: 'tokens',
  autoencoder: 'encoder and decoder of latents',
  published: 'published files that are known here',
} as const;

/**
 * What a family can do.
 * @throws UserError that says what it lacks, where it cannot
 */
export function ability<C extends ModelConfig, P extends Tree, Name extends keyof typeof abilities>(
  family: Family<C, P>,
  name: Name,
): NonNullable<Family<C, P>[Name]> {
  const found = family[name];
  if (found) return found;
  throw new UserError(
    `A model of kind '${family.kind}' has no ${abilities[name]}`,
    'Choose a model of another kind',
  );
}

/**
 * The blocks of a model, nearest the data first.
 * @throws UserError for a model that has none
 */
export function blocksOf(model: Model): AutoregressiveBlock[] {
  return ability(model.family, 'blocks')(model);
}

/** A fresh model of a family from a seed. The caller frees it with {@link disposeModel}. */
export function freshModel<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
  seed: number,
): Model<C, P> {
  const { parameters, buffers } = family.specs(family.check(config), randomKey(seed));
  return { family, config, parameters: built<P>(parameters), buffers: built<Leaves>(buffers) };
}

/**
 * Frees a model's parameters and buffers.
 *
 * @example
 * ```ts
 * import { createModel, disposeModel, findExperiment, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const flow = createModel(findExperiment('fashion-mnist-noise').config, 1);
 * disposeModel(flow);
 * console.log(tf.memory().numTensors); // as many as before
 * ```
 */
export function disposeModel({ parameters, buffers }: Pick<Model, 'parameters' | 'buffers'>): void {
  disposeTree(parameters);
  disposeTree(buffers);
}

/** Dimensions of an image: channels · height · width. */
export function dimensions({ image }: { image: ImageSize }): number {
  return image.channels * image.height * image.width;
}

/**
 * Data to noise, the normalising direction.
 *
 * @param x images (batch, channels, height, width), about [−1, 1]
 * @param given `label`: class per sample; −1 or absent reads as no label. `text`: states of captions
 * @returns tensors that the caller frees
 * @throws UserError where the images or labels do not fit the model, or the model is no flow
 *
 * @example
 * ```ts
 * import { forward, imagesTensor, loadCheckpoint, loadDataset } from 'tarflow';
 *
 * const file = 'results/checkpoints/noise/fashion-mnist-gaussian-0.1-seed-1.safetensors';
 * const flow = await loadCheckpoint(file);
 * const data = await loadDataset('fashion-mnist', 'validation');
 * const x = imagesTensor(data, [0, 1]);
 * const { z, logDet } = forward(flow, x, { label: data.labels.slice(0, 2) });
 * console.log(z.shape, await logDet.data()); // z: 2 images, 49 tokens of 16 numbers
 * ```
 */
export function forward(model: Model, x: tf.Tensor4D, given: Given = {}): ForwardResult {
  return tidy(() => {
    const flow = ability(model.family, 'flow');
    checkImages(model.config, x);
    return flow.forward(model, x, givenConditions(model.config, given, x.shape[0]));
  });
}

/** The training loss and its two terms, scalars in nats per dimension, and a measure of each block. */
export interface FlowLoss {
  /** ½·mean(z²) − mean log-determinant per dimension (TarFlow, eq. 6; no ½·log 2π). */
  loss: tf.Scalar;
  /** ½·mean(z²). */
  prior: tf.Scalar;
  /** Mean over the batch of the log-determinant per dimension. */
  logDet: tf.Scalar;
  /** Mean square of each block's output (blocks), or of each level's; tends to 1 in a trained model. */
  meanSquares: tf.Tensor1D;
}

/**
 * The training loss from a forward pass, in nats per dimension (see {@link FlowLoss}). Call it inside
 * `tidy`: it leaves intermediate tensors.
 */
export function flowLoss({ config }: Pick<Model, 'config'>, result: ForwardResult): FlowLoss {
  const size = dimensions(config);
  const meanSquares = tf.stack(
    result.outputs.map((output) => tf.mean(tf.square(output))),
  ) as tf.Tensor1D;
  const prior = tf.mul(tf.mean(tf.square(result.z)), 0.5) as tf.Scalar;
  const logDet = tf.div(tf.mean(result.logDet), size) as tf.Scalar;
  return { loss: tf.sub(prior, logDet) as tf.Scalar, prior, logDet, meanSquares };
}

/**
 * log p(x) per sample (batch), in nats, from a forward pass: under the prior from which `sample` draws, a
 * standard normal one, or in a volume-preserving flow that of its measured variance. The published code
 * takes a standard normal one there, too, for its loss and its denoising step. Call it inside `tidy`: it
 * leaves intermediate tensors.
 */
export function logProbOf(
  model: Model,
  { z, logDet }: Pick<ForwardResult, 'z' | 'logDet'>,
): tf.Tensor1D {
  const variance = ability(model.family, 'flow').priorVariance?.(model);
  const squares = variance ? tf.div(tf.square(z), variance) : tf.square(z);
  const constant = halfLog2Pi * dimensions(model.config);
  const prior = tf.add(tf.mul(tf.sum(squares, [1, 2]), 0.5), constant);
  const normal = tf.sub(logDet, prior) as tf.Tensor1D;
  return variance ? tf.sub(normal, tf.mul(tf.sum(tf.log(variance)), 0.5)) : normal;
}

/** ½·log 2π. */
export const halfLog2Pi = 0.5 * Math.log(2 * Math.PI);

/**
 * Checks that images fit a model.
 * @throws UserError that says what came and what the model takes
 */
export function checkImages({ image }: { image: ImageSize }, x: tf.Tensor): void {
  const { channels, height, width } = image;
  if (x.rank !== 4 || x.shape[1] !== channels || x.shape[2] !== height || x.shape[3] !== width) {
    throw new UserError(
      `Images of shape (${x.shape.join(', ')}) came`,
      `This model takes (batch, ${channels}, ${height}, ${width})`,
    );
  }
  if (x.dtype !== 'float32') {
    throw new UserError(
      `Images of type ${x.dtype} came`,
      "This model takes float32, about [-1, 1]: cast them, as by x.cast('float32')",
    );
  }
}

/**
 * Checks that a set of images fits a model.
 * @throws UserError that says what came and what the model takes
 */
export function checkImageSize(config: { image: ImageSize }, image: ImageSize, name: string): void {
  const { channels, height, width } = config.image;
  if (image.channels !== channels || image.height !== height || image.width !== width) {
    throw new UserError(
      `${name} has images of ${image.channels}×${image.height}×${image.width} (channels × height × width)`,
      `This model takes ${channels}×${height}×${width}`,
    );
  }
}
