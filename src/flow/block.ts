import { affineStep, linear } from '../backend/ops.js';
import { tf } from '../backend/tf.js';
import { type FlowConfig, tokenCount, tokenWidth } from './config.js';
import type { BlockParameters } from './parameters.js';
import { type LayerCache, transformerLayer } from './transformer.js';

/**
 * One autoregressive flow block: z_t = (x_t − b(x_<t)) · exp(−a(x_<t)), tokens taken in the block's
 * own order (TarFlow, section 3.1).
 */
export interface FlowBlock {
  config: FlowConfig;
  parameters: BlockParameters;
  /** Position in the stack; 0 is nearest the data. Odd blocks read the tokens in reverse. */
  index: number;
}

/** Keys and values of the tokens seen so far, one entry per transformer layer. */
export type BlockCache = LayerCache[];

export interface PredictOptions {
  /** Position of the first given token in the block's order. */
  start?: number;
  /** What the transformer saw before `start`. */
  cache?: BlockCache | undefined;
  /** Mixture of classes (batch, classes), see `classMixture`; none takes the mean of the table. */
  classes?: tf.Tensor2D | undefined;
  /** Attention temperature: a number, or one per sample (batch, 1, 1, 1). */
  temperature?: number | tf.Tensor4D | undefined;
  /** True to return the cache extended by the given tokens. */
  keepCache?: boolean | undefined;
}

export interface Prediction {
  /** Log-scale of the token after each given one, (batch, n, D). */
  a: tf.Tensor3D;
  /** Shift of the token after each given one, (batch, n, D). */
  b: tf.Tensor3D;
  cache: BlockCache | undefined;
}

/**
 * Tokens in the block's order, from raster order, and back: reversal in odd blocks, which is its
 * own inverse.
 */
export function permute<T extends tf.Tensor>(block: FlowBlock, tokens: T, axis = 1): T {
  return block.index % 2 === 1 ? tf.reverse(tokens, axis) : tokens;
}

/**
 * What the block predicts for the tokens *after* the given ones: entry i of a and b belongs to
 * token start + i + 1. This is all that a solver needs of a block.
 *
 * @param tokens (batch, n, D), consecutive tokens in the block's order
 */
export function predict(
  block: FlowBlock,
  tokens: tf.Tensor3D,
  options: PredictOptions = {},
): Prediction {
  const { config, parameters } = block;
  const { start = 0, cache, classes, temperature, keepCache = false } = options;
  const [batch, count, width] = tokens.shape;

  const embedded = linear(
    tf.reshape(tokens, [batch * count, width]) as tf.Tensor2D,
    parameters.proj_in.weight,
    parameters.proj_in.bias,
  );
  let h = tf.add(
    tf.reshape(embedded, [batch, count, config.channels]),
    positions(block, start, count),
  ) as tf.Tensor3D;
  if (parameters.class_embed) h = tf.add(h, classTerm(parameters.class_embed, classes));

  const extended: BlockCache = [];
  parameters.attn_blocks.forEach((layer, index) => {
    const result = transformerLayer(layer, h, {
      headWidth: config.headWidth,
      cache: cache?.[index],
      temperature,
      keepCache,
    });
    h = result.h;
    if (result.cache) extended.push(result.cache);
  });

  const rows = linear(
    tf.reshape(h, [batch * count, config.channels]) as tf.Tensor2D,
    parameters.proj_out.weight,
    parameters.proj_out.bias,
  );
  const out = tf.reshape(rows, [batch, count, -1]) as tf.Tensor3D;
  const [a, b] = config.volumePreserving
    ? [tf.zerosLike(out), out]
    : (tf.split(out, 2, 2) as [tf.Tensor3D, tf.Tensor3D]);
  return { a, b, cache: keepCache ? extended : undefined };
}

/**
 * Data to noise through one block.
 *
 * @param x (batch, T, D) in raster order
 * @returns z of the same shape, and its log-determinant per sample (batch) in nats, summed over
 *   dimensions
 */
export function blockForward(
  block: FlowBlock,
  x: tf.Tensor3D,
  classes?: tf.Tensor2D,
): { z: tf.Tensor3D; logDet: tf.Tensor1D } {
  const u = permute(block, x);
  const last = tokenCount(block.config) - 1;
  const width = tokenWidth(block.config);
  // The first token has nothing before it and passes through; the last one predicts nothing.
  const { a, b } = predict(block, tf.slice(u, [0, 0, 0], [-1, last, width]), { classes });
  const rest = tf.slice(u, [0, 1, 0], [-1, last, width]);
  const moved = block.config.volumePreserving ? tf.sub(rest, b) : affineStep(rest, a, b);
  const z = tf.concat([tf.slice(u, [0, 0, 0], [-1, 1, width]), moved], 1) as tf.Tensor3D;
  return { z: permute(block, z), logDet: tf.neg(tf.sum(a, [1, 2])) as tf.Tensor1D };
}

/** Rows of the position table for `count` tokens of the block's order from `start`. */
function positions(block: FlowBlock, start: number, count: number): tf.Tensor2D {
  const table = block.parameters.pos_embed;
  const [tokens, channels] = table.shape;
  const reversed = block.index % 2 === 1;
  const rows = tf.slice(table, [reversed ? tokens - start - count : start, 0], [count, channels]);
  return permute(block, rows, 0);
}

/** The class term (batch, 1, channels), or (1, 1, channels) where no label is given. */
function classTerm(table: tf.Tensor3D, classes: tf.Tensor2D | undefined): tf.Tensor3D {
  if (!classes) return tf.mean(table, 0, true) as tf.Tensor3D;
  const [count, , channels] = table.shape;
  const rows = tf.matMul(classes, tf.reshape(table, [count, channels]) as tf.Tensor2D);
  return tf.reshape(rows, [-1, 1, channels]) as tf.Tensor3D;
}
