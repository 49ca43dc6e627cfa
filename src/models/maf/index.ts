import { z } from 'zod';
import { droppedClasses } from '../../conditions/labels.js';
import { UserError } from '../../core/errors.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import { checkedConfig } from '../../core/schema.js';
import { tf, tidy } from '../../core/tf.js';
import { type Leaves, leaf, withLeaves } from '../../core/tree.js';
import type {
  AutoregressiveBlock,
  BlockCost,
  Conditions,
  Place,
  Prediction,
} from '../../flow/autoregressive.js';
import { backgroundSchema, cutImages, joinImages } from '../../flow/background.js';
import { forwardThroughBlocks } from '../../flow/forward.js';
import { standardising } from '../../flow/gaussian.js';
import type { Family, Model } from '../../flow/model.js';
import { count, countOrNone, depth, dimensions, imageSchema } from '../../flow/model.js';
import { patchify, unpatchify } from '../../flow/patches.js';
import { type MadeParameters, made, madeSpecs, maskedOutput, outputBias } from '../../nn/made.js';
import type { Specs } from '../../nn/specs.js';
import { likelihood } from '../../training/objectives/likelihood.js';

const mafSchema = z.strictObject({
  kind: z.literal('maf'),
  image: imageSchema,
  classes: countOrNone,
  /** Masked networks, each in the reverse order of the one before. */
  blocks: depth,
  /** Hidden layers of a network. */
  hiddenLayers: depth,
  /** Units of a hidden layer. */
  hiddenUnits: count,
  /**
   * As in a TarFlow: the grey level whose noise is made normal before the first block
   * (`spreadBackground`). The paper takes the logit of pixels instead. Absent, blocks read pixels.
   */
  background: backgroundSchema.optional(),
});

/** The shape of a masked autoregressive flow. Its tokens are the numbers of an image, one by one. */
export interface MafConfig extends z.infer<typeof mafSchema> {}

/**
 * Checks a configuration.
 * @throws UserError that names the value that does not fit, or an image of a single number
 */
function checkMaf(config: MafConfig): MafConfig {
  checkedConfig(mafSchema, config);
  const { channels, height, width } = config.image;
  if (channels * height * width < 2) {
    throw new UserError(
      `An image of ${channels}×${height}×${width} is a single number`,
      'An autoregressive flow needs at least two; choose a larger image',
    );
  }
  return config;
}

/** All trained parameters of a MAF. */
export type MafParameters = { blocks: MadeParameters[] };

/** A masked autoregressive flow (Papamakarios et al. 2017, arXiv 1705.07057). */
export type Maf = Model<MafConfig, MafParameters>;

/** The family of masked autoregressive flows. */
export const maf: Family<MafConfig, MafParameters> = {
  kind: 'maf',
  schema: mafSchema,
  check: checkMaf,
  title: ({ blocks, hiddenLayers, hiddenUnits }) => [blocks, hiddenLayers, hiddenUnits].join('-'),
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

/**
 * A block of a MAF: a masked network predicts mean and log-scale of each number of an image from those
 * before it (Papamakarios et al. 2017, arXiv 1705.07057, section 3.1). Odd blocks read the numbers in
 * reverse. The first number is predicted, too, by biases and the class.
 */
class MafBlock implements AutoregressiveBlock {
  readonly tokens: number;
  readonly width = 1;
  readonly given = 0;
  readonly cache = { lead: 0, width: 1, rows: 1 } as const;
  readonly cost: BlockCost;
  readonly heads = 0;
  readonly description: unknown;
  readonly direction: 'forward' | 'reverse';

  constructor(
    private readonly config: MafConfig,
    readonly parameters: MadeParameters,
    readonly index: number,
  ) {
    const { hidden, output } = parameters;
    this.tokens = dimensions(config);
    this.cost = {
      stack: config.blocks,
      work: [...hidden, output].reduce((sum, { weight }) => sum + weight.size, 0),
      depth: hidden.length,
    };
    this.direction = index % 2 === 0 ? 'forward' : 'reverse';
    this.description = config;
  }

  withParameters(parameters: Leaves): MafBlock {
    return new MafBlock(this.config, withLeaves(this.parameters, parameters), this.index);
  }

  /** Reversal is its own inverse. */
  order(x: tf.Tensor3D): tf.Tensor3D {
    return this.direction === 'reverse' ? tf.reverse(x, 1) : x;
  }

  /** The cache holds the numbers themselves (rows, 1, entries, 1). */
  predict(
    tokens: tf.Tensor3D,
    { start = 0, cache, conditions = {}, keepCache = false }: Place = {},
  ): Prediction {
    const [rows, count] = tokens.shape;
    const given = tf.reshape(tokens, [rows, 1, count, 1]);
    const seen = cache ? tf.concat([leaf(cache, 'tokens', 4), given], 2) : given;
    const next = made(this.parameters, tf.reshape(seen, [rows, start + count]), {
      tokens: this.tokens,
      first: cache ? start + 1 : 0,
      classes: conditions.classes,
    });
    return { next, cache: keepCache ? { tokens: seen } : undefined };
  }

  unconditional(rows: number): Conditions {
    return droppedClasses(this.config, rows);
  }

  /** Of all tokens, (T, units) each. */
  outputWeights(): { mean: tf.Tensor2D; logScale: tf.Tensor2D } {
    return maskedOutput(this.parameters, this.tokens);
  }
}

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
