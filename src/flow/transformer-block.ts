import { tf } from '../core/tf.js';
import type { Leaves, Tree } from '../core/tree.js';
import type { LinearParameters } from '../nn/layers.js';
import type { Rotary } from '../nn/rotary.js';
import {
  emptyStepCache,
  type LayerParameters,
  type Linear,
  lengthenedStepCache,
  loopLinear,
  stepCacheOf,
  storedLinear,
  transformer,
  transformerStep,
} from '../nn/transformer.js';
import type {
  AutoregressiveBlock,
  BlockCost,
  CacheShape,
  Conditions,
  Decoder,
  Place,
  Prediction,
  StepFunction,
} from './autoregressive.js';
import type { Gaussian } from './gaussian.js';

/** Parameters that every block of a transformer has, under their published names. */
export type TransformerBlockParameters = { [name: string]: Tree | undefined } & {
  proj_in: LinearParameters;
  attn_blocks: LayerParameters[];
  proj_out: LinearParameters;
};

/** Sizes of a block, and how it stands in its stack. */
export interface TransformerBlockShape
  extends Pick<AutoregressiveBlock, 'index' | 'tokens' | 'width' | 'given' | 'description'> {
  /** The number of blocks. */
  stack: number;
  channels: number;
  /** Width of an attention head; divides the channels. */
  headWidth: number;
  direction: 'forward' | 'reverse';
  /** Entries of a sequence before that of the first token. */
  lead: number;
}

/** What the layers read: entries h (rows, entries, channels), and how positions turn them. */
export interface Entries {
  h: tf.Tensor3D;
  rotary?: Rotary;
  /** Entries at the beginning that predict nothing. Absent: none. */
  silent?: number;
}

/**
 * The entries of a token (rows, D) at position t, in a loop over tokens: h (rows, channels), and one
 * row of cosines and sines.
 */
export type EntryFunction = (
  t: tf.Scalar,
  token: tf.Tensor2D,
) => { h: tf.Tensor2D; rotary?: Rotary };

/**
 * An autoregressive block whose predictions a causal transformer makes. A kind of model says what its
 * layers read and what becomes of their outputs.
 */
export abstract class TransformerBlock<P extends TransformerBlockParameters>
  implements AutoregressiveBlock
{
  readonly index: number;
  readonly tokens: number;
  readonly width: number;
  readonly direction: 'forward' | 'reverse';
  readonly given: 0 | 1;
  readonly description: unknown;
  readonly cache: CacheShape;
  readonly cost: BlockCost;
  readonly heads: number;
  private readonly headWidth: number;

  constructor(
    readonly parameters: P,
    { channels, headWidth, ...shape }: TransformerBlockShape,
  ) {
    this.index = shape.index;
    this.tokens = shape.tokens;
    this.width = shape.width;
    this.direction = shape.direction;
    this.given = shape.given;
    this.description = shape.description;
    const depth = parameters.attn_blocks.length;
    this.cache = { lead: shape.lead, width: 2 * channels * depth, rows: 1 };
    this.cost = { stack: shape.stack, work: 12 * channels ** 2 * depth, depth };
    this.heads = channels / headWidth;
    this.headWidth = headWidth;
  }

  abstract withParameters(parameters: Leaves): AutoregressiveBlock;
  abstract unconditional(rows: number): Conditions;

  /** The entries of tokens (rows, n, D) at their place. */
  protected abstract entries(tokens: tf.Tensor3D, place: Place): Entries;

  /**
   * The entries of a loop over tokens.
   *
   * @param places raster index of each token in the block's order (T) int32
   */
  protected abstract entryFunction(
    loop: LoopLayers<P>,
    places: tf.Tensor1D,
  ): (conditions: Conditions) => EntryFunction;

  /** The outputs of rows (rows, channels) that have passed the layers. */
  protected abstract outputs(parameters: P, rows: tf.Tensor2D, linear: Linear): tf.Tensor2D;

  /** Mean and log-scale, which stand side by side along an axis of the outputs. */
  protected abstract gaussian<T extends tf.Tensor>(out: T, axis: number): Gaussian<T>;

  abstract outputWeights(): { mean: tf.Tensor2D; logScale?: tf.Tensor2D };

  /** Reversal is its own inverse. */
  order(x: tf.Tensor3D): tf.Tensor3D {
    return this.direction === 'reverse' ? tf.reverse(x, 1) : x;
  }

  predict(tokens: tf.Tensor3D, place: Place = {}): Prediction {
    const { parameters, headWidth } = this;
    const { cache, conditions, keepCache } = place;
    const { h, rotary, silent = 0 } = this.entries(tokens, place);
    const temperature = conditions?.temperature;
    const options = { headWidth, cache, temperature, keepCache, rotary };
    const result = transformer(parameters.attn_blocks, h, options);
    const seen = silent === 0 ? result.h : tf.slice(result.h, [0, silent, 0], [-1, -1, -1]);
    const out = overRows(seen, (rows) => this.outputs(parameters, rows, storedLinear));
    return { next: this.gaussian(out, 2), cache: result.cache };
  }

  decoder(rows: number, places: tf.Tensor1D): Decoder {
    const { heads, headWidth } = this;
    const { lead } = this.cache;
    const { depth } = this.cost;
    const loop = loopLinear(this.parameters, rows);
    const { parameters, linear } = loop;
    const entryUnder = this.entryFunction(loop, places);
    const stepper = (conditions: Conditions): StepFunction => {
      const entry = entryUnder(conditions);
      // Numbers of rows (rows, 1, 1, 1) as numbers of their heads (rows·heads, 1, 1).
      const temperature =
        conditions.temperature &&
        tf.reshape(tf.tile(conditions.temperature, [1, heads, 1, 1]), [-1, 1, 1]);
      return (t, token, cache) => {
        const place: tf.Scalar = lead === 0 ? t : tf.add(t, tf.scalar(lead, 'int32'));
        const { h, rotary } = entry(t, token);
        const layers = { headWidth, linear, place, cache, temperature, rotary };
        const step = transformerStep(parameters.attn_blocks, h, layers);
        const out = this.outputs(parameters, step.h, linear);
        return { next: this.gaussian(out, 1), cache: step.cache };
      };
    };
    return {
      emptyCache: (count, length) => emptyStepCache(depth, count * heads, lead + length, headWidth),
      cacheOf: (cache, length) => stepCacheOf(cache, lead + length),
      lengthened: (cache, length) => lengthenedStepCache(cache, lead + length),
      stepper,
    };
  }
}

/** Parameters, and how linear layers apply theirs, as `loopLinear` makes them. */
export interface LoopLayers<P> {
  parameters: P;
  linear: Linear;
}

/** A linear layer applied to entries (rows, n, inputs). */
export function projected(layer: LinearParameters, entries: tf.Tensor3D): tf.Tensor3D {
  return overRows(entries, (rows) => storedLinear(layer, rows));
}

/** A function of rows (rows, inputs), applied to entries (rows, n, inputs). */
function overRows(x: tf.Tensor3D, apply: (rows: tf.Tensor2D) => tf.Tensor2D): tf.Tensor3D {
  const [rows, count, inputs] = x.shape;
  const flat = apply(tf.reshape(x, [rows * count, inputs]));
  return tf.reshape(flat, [rows, count, flat.shape[1]]);
}
