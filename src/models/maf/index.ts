import { foldIn, type RandomKey } from '../../core/random.js';
import { tf, tidy } from '../../core/tf.js';
import type { Leaves } from '../../core/tree.js';
import { cutImages, joinImages } from '../../flow/background.js';
import { forwardThroughBlocks } from '../../flow/forward.js';
import { standardising } from '../../flow/gaussian.js';
import type { Family, Model } from '../../flow/model.js';
import { dimensions } from '../../flow/model.js';
import { patchify, unpatchify } from '../../flow/patches.js';
import { type MadeParameters, madeSpecs, outputBias } from '../../nn/made.js';
import type { Specs } from '../../nn/specs.js';
import { likelihood } from '../../training/objectives/likelihood.js';
import { MafBlock } from './block.js';
import { checkMaf, type MafConfig, mafSchema, mafTitle } from './config.js';

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
  prior: { shape: (config) => [dimensions(config), 1] },
  flow: {
    forward(model, x, conditions) {
      const { tokens, logDet } = tokensOf(model.config, x);
      return forwardThroughBlocks(blocksOf(model), tokens, conditions, logDet);
    },
    rows: () => 1,
    width: ({ hiddenUnits }) => hiddenUnits,
  },
  blocks: blocksOf,
  tokens: { of: tokensOf, images: imagesOf },
};

function parameterSpecs(config: MafConfig, key: RandomKey): Specs<MafParameters> {
  const { blocks, classes, hiddenLayers: layers, hiddenUnits: units } = config;
  const sizes = { tokens: dimensions(config), layers, units, classes };
  return { blocks: Array.from({ length: blocks }, (_, b) => madeSpecs(foldIn(key, b), sizes)) };
}

/**
 * The first block starts by giving each number of an image mean 0 and variance 1; the others leave
 * that as it is. This is what the batch normalisation of the paper does between all blocks; later
 * ones get along without.
 */
function startFromData({ config }: Maf, images: tf.Tensor4D): Leaves {
  return tidy(() => {
    const { tokens } = tokensOf(config, images);
    const bias = outputBias(standardising(tf.squeeze(tokens, [2]), [0]));
    return { 'blocks.0.output.bias': tf.reshape(bias, [-1]) };
  });
}

function blocksOf({ config, parameters }: Maf): MafBlock[] {
  return parameters.blocks.map((block, index) => new MafBlock(config, block, index));
}

/** The numbers of images as tokens, pixel by pixel in raster order, each channel by channel. */
function tokensOf(
  { image, background }: MafConfig,
  images: tf.Tensor4D,
): { tokens: tf.Tensor3D; logDet?: tf.Tensor1D } {
  return cutImages(background, images, (x) =>
    tf.reshape(patchify({ image, patchSize: 1 }, x), [x.shape[0], -1, 1]),
  );
}

function imagesOf({ image, background }: MafConfig, tokens: tf.Tensor3D): tf.Tensor4D {
  return joinImages(background, tokens, (x) => {
    const pixels = tf.reshape(x, [x.shape[0], -1, image.channels]);
    return unpatchify({ image, patchSize: 1 }, pixels);
  });
}
