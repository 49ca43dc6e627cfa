import { foldIn, type RandomKey } from '../../backend/random.js';
import { tf, tidy } from '../../backend/tf.js';
import type { Leaves } from '../../backend/tree.js';
import { narrowBackground, spreadBackground } from '../../flow/background.js';
import { dimensions } from '../../flow/flow.js';
import type { Family, ForwardResult, Model } from '../../flow/model.js';
import { patchify, unpatchify } from '../../flow/patches.js';
import { forwardThroughBlocks } from '../../flow/through-blocks.js';
import type { LinearParameters } from '../../nn/layers.js';
import { normals, type Specs, uniforms, zeros } from '../../nn/specs.js';
import { likelihood } from '../../training/objectives/likelihood.js';
import { MafBlock } from './block.js';
import { checkMaf, type MafConfig, mafSchema, mafTitle } from './config.js';
import { type MadeParameters, rawLogScale } from './made.js';

/** All trained parameters of a MAF. */
export type MafParameters = { blocks: MadeParameters[] };

/** A masked autoregressive flow (Papamakarios et al. 2017, arXiv 1705.07057). */
export type Maf = Model<MafConfig, MafParameters>;

/** The family of masked autoregressive flows. */
export const maf: Family<MafConfig, MafParameters> = {
  kind: 'maf',
  schema: mafSchema,
  check: checkMaf,
  title: mafTitle,
  specs: (config, key) => ({ parameters: parameterSpecs(config, key), buffers: {} }),
  start: startFromData,
  objectives: () => [likelihood()],
  flow: {
    forward(model, x, conditions): ForwardResult {
      const { tokens, logDet } = tokensOf(model.config, x);
      const result = forwardThroughBlocks(blocksOf(model), tokens, conditions);
      return logDet ? { ...result, logDet: tf.add(result.logDet, logDet) } : result;
    },
    latentShape,
    rows: () => 1,
    width: ({ hiddenUnits }) => hiddenUnits,
  },
  generator: { latentShape },
  blocks: blocksOf,
  tokens: { of: tokensOf, images: imagesOf },
};

function parameterSpecs(config: MafConfig, key: RandomKey): Specs<MafParameters> {
  const { classes, hiddenLayers: layers, hiddenUnits: units } = config;
  const tokens = dimensions(config);
  const layer = (k: RandomKey, inputs: number): Specs<LinearParameters> => ({
    // As a linear layer of half of the inputs, since a mask hides the others, on the average.
    weight: uniforms(foldIn(k, 'weight'), [units, inputs], Math.sqrt(2 / inputs)),
    bias: uniforms(foldIn(k, 'bias'), [units], Math.sqrt(2 / inputs)),
  });
  const block = (k: RandomKey): Specs<MadeParameters> => ({
    hidden: range(layers).map((l) => layer(foldIn(k, l), l === 0 ? tokens - 1 : units)),
    ...(classes > 0 && { classes: normals(foldIn(k, 'classes'), [classes, units], 0.01) }),
    // Without weights, a block starts as the identity.
    output: { weight: zeros([2 * tokens, units]), bias: zeros([2 * tokens]) },
  });
  return { blocks: range(config.blocks).map((b) => block(foldIn(key, b))) };
}

/**
 * The first block starts by giving each number of an image mean 0 and variance 1; the others leave
 * that as it is. This is what the batch normalisation of the paper does between all blocks; later
 * ones get along without. One more image, of variance 1, keeps numbers that hardly ever change away
 * from tiny scales.
 */
function startFromData({ config }: Maf, images: tf.Tensor4D): Leaves {
  return tidy(() => {
    const { tokens } = tokensOf(config, images);
    const count = images.shape[0];
    const { mean, variance } = tf.moments(tf.squeeze(tokens, [2]), 0);
    const logScale = tf.mul(tf.log(tf.div(tf.add(tf.mul(variance, count), 1), count + 1)), 0.5);
    const bias = tf.stack([mean, rawLogScale(logScale)], 1);
    return { 'blocks.0.output.bias': tf.reshape(bias, [-1]) };
  });
}

function blocksOf({ config, parameters }: Maf): MafBlock[] {
  return parameters.blocks.map((block, index) => new MafBlock(config, block, index));
}

function latentShape(config: MafConfig): [number, number] {
  return [dimensions(config), 1];
}

/** The numbers of images as tokens, pixel by pixel in raster order, each channel by channel. */
function tokensOf(
  { image, background }: MafConfig,
  images: tf.Tensor4D,
): { tokens: tf.Tensor3D; logDet?: tf.Tensor1D } {
  return tidy(() => {
    const cut = (x: tf.Tensor4D): tf.Tensor3D =>
      tf.reshape(patchify({ image, patchSize: 1 }, x), [x.shape[0], -1, 1]);
    if (background === undefined) return { tokens: cut(images) };
    const { y, logDet } = spreadBackground(background, images);
    return { tokens: cut(y), logDet };
  });
}

function imagesOf({ image, background }: MafConfig, tokens: tf.Tensor3D): tf.Tensor4D {
  return tidy(() => {
    const pixels = tf.reshape(tokens, [tokens.shape[0], -1, image.channels]) as tf.Tensor3D;
    const joined = unpatchify({ image, patchSize: 1 }, pixels);
    return background === undefined ? joined : narrowBackground(background, joined);
  });
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}
