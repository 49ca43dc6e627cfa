import type { tf } from '../core/tf.js';
import type { Leaves, Tree } from '../core/tree.js';
import type { Gaussian } from './gaussian.js';

/**
 * What a prediction depends on beside tokens and parameters, by name: the first axis of each is a
 * row per sample. `classes` is a mixture of classes (rows, classes), absent where no label is given;
 * `text` are the states of a caption (rows, entries, width), absent where none is given;
 * `temperature` divides the attention logits (rows, 1, 1, 1), in a guided block those of the weaker
 * model; `guidance` are the weights of a guided block, one for the prediction of each token (rows, T, 1).
 */
export type Conditions = {
  classes?: tf.Tensor2D | undefined;
  text?: tf.Tensor3D | undefined;
  temperature?: tf.Tensor4D | undefined;
  guidance?: tf.Tensor3D | undefined;
};

/**
 * What a block keeps of the tokens that it has seen, by name. Each leaf is (rows, …, entries, …): its
 * first axis is that of samples, its third that of tokens.
 */
export type Cache = Leaves;

/** How large a block's cache is. */
export interface CacheShape {
  /**
   * Entries before that of the first token: 1 for a start token, and those of a class or a caption.
   */
  lead: number;
  /** What the entry of a token takes of memory in a row, in numbers. */
  width: number;
  /** Rows for each sample: 2 where a weaker model guides; all samples' first ones come first. */
  rows: 1 | 2;
}

/** What computing with a block takes: hints for compiling and for batches, on which no result depends. */
export interface BlockCost {
  /** The number of blocks in its stack. */
  stack: number;
  /** Multiplications for a token of a row, without those of attention. */
  work: number;
  /** Layers that a token passes one after the other. */
  depth: number;
}

/** Where in a block's order some tokens stand, and what the block has seen before them. */
export interface Place {
  /** Position of the first given token. Default 0. */
  start?: number;
  /** What the block kept of the tokens before `start`; absent where that is 0. */
  cache?: Cache | undefined;
  conditions?: Conditions;
  /** True to return the cache extended by the given tokens. Default false. */
  keepCache?: boolean | undefined;
}

export interface Prediction {
  next: Gaussian;
  cache?: Cache | undefined;
}

/** The first token that predictions at a place belong to, see {@link AutoregressiveBlock.predict}. */
export function firstPredicted(
  { given }: Pick<AutoregressiveBlock, 'given'>,
  { start = 0, cache }: Pick<Place, 'start' | 'cache'>,
): number {
  return cache ? start + 1 : start + given;
}

/**
 * One block of an autoregressive flow, z_t = (x_t − mean(x_<t))·exp(−logScale(x_<t)), with the tokens
 * in the block's own order. This is all that solvers, metrics and the planner know of a model. Pure
 * functions of tensors; a caller tidies.
 */
export interface AutoregressiveBlock {
  /** Position in the stack; 0 is nearest the data. */
  readonly index: number;
  /** The number of tokens, T. */
  readonly tokens: number;
  /** Numbers in a token, D. */
  readonly width: number;
  /**
   * Tokens that no prediction precedes and that pass through: 1 where the first token has none, 0
   * where a start token predicts it.
   */
  readonly given: 0 | 1;
  readonly cache: CacheShape;
  readonly cost: BlockCost;
  /** Attention heads of a layer; 0 where there is no attention, and a temperature means nothing. */
  readonly heads: number;
  /**
   * All that predictions depend on beside parameters, arguments and direction, JSON-able: kind of the
   * model, configuration, depth. Compiled calls are kept under it.
   */
  readonly description: unknown;
  /** Names the block's order: blocks of one description and direction predict alike. */
  readonly direction: string;
  readonly parameters: Tree;
  /** The same block with other tensors under the names of its parameters. */
  withParameters(parameters: Leaves): AutoregressiveBlock;
  /** Tokens (batch, T, D) in the block's order from raster order, or with `back` the other way. */
  order(x: tf.Tensor3D, back?: boolean): tf.Tensor3D;
  /**
   * What the block predicts *after* given tokens (rows, n, D), consecutive ones from `start`. Entry i
   * belongs to token start + i + 1. Where a start token predicts the first token (`given` is 0) and no
   * cache came, which may be where start is 0 only, there are n + 1 entries, the first of which belongs
   * to token 0; then n may be 0.
   */
  predict(tokens: tf.Tensor3D, place?: Place): Prediction;
  /** The conditions of the weaker model in guidance, which sees no label. */
  unconditional(rows: number): Conditions;
  /**
   * The maps (D, inputs) of the output layer that make mean and log-scale; in a MAF those of all tokens,
   * (T, inputs).
   */
  outputWeights(): { mean: tf.Tensor2D; logScale?: tf.Tensor2D };
  /**
   * The same predictions for one token at a time, for a compiled loop that writes its caches in
   * place; absent where that is no cheaper than {@link predict}. Beside its arguments it depends on
   * {@link description} only, so that blocks of all directions share one loop.
   *
   * @param rows of a step, which decides in what form weights are read
   * @param places raster index of each token in the block's order (T) int32
   */
  decoder?(rows: number, places: tf.Tensor1D): Decoder;
}

/** A block made ready for a loop over tokens. It is called where the loop is recorded. */
export interface Decoder {
  /** An empty cache for so many rows and tokens, in the form that {@link StepFunction} takes. */
  emptyCache(rows: number, length: number): Cache;
  /** A cache of {@link AutoregressiveBlock.predict} in the form that the loop takes. */
  cacheOf(cache: Cache, length: number): Cache;
  /** A cache of the loop with room for `length` tokens. */
  lengthened(cache: Cache, length: number): Cache;
  /** Computes once what all steps share. */
  stepper(conditions: Conditions): StepFunction;
}

/**
 * One step of a loop over tokens.
 *
 * @param t position of the token, a scalar int32; the cache holds those before
 * @param token (rows, D)
 * @returns predictions (rows, D) for token t + 1, and the cache with the token in its place
 */
export type StepFunction = (
  t: tf.Scalar,
  token: tf.Tensor2D,
  cache: Cache,
) => { next: Gaussian<tf.Tensor2D>; cache: Cache };
