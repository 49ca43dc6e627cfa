import { tf } from '../core/tf.js';
import type { Leaves, Tree } from '../core/tree.js';
import type { LinearParameters } from '../nn/layers.js';
import type { Rotary } from '../nn/rotary.js';
import {
  type AnyLayerParameters,
  emptyStepCache,
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
  Conditions,
  Decoder,
  Place,
  Prediction,
  StepFunction,
} from './autoregressive.js';
import type { Gaussian } from './gaussian.js';

/** Parameters that every block of a transformer has, under their published names. */
export type TransformerBlockParameters = { [name: string]: Tree } & {
  proj_in: LinearParameters;
  attn_blocks: AnyLayerParameters[];
  proj_out: LinearParameters;
};

/** Sizes of a block, and how it stands in its stack. */
export interface TransformerBlockShape {
  /** Position in the stack; 0 is nearest the data. */
  index: number;
  /** The number of blocks. */
  stack: number;
  tokens: number;
  /** Numbers in a token, D. */
  width: number;
  channels: number;
  /** Width of an attention head; divides the channels. */
  headWidth: number;
  direction: 'forward' | 'reverse';
  /** 1 where the first token passes through, 0 where a start token predicts it. */
  given: 0 | 1;
  /** Entries of a sequence before that of the first token. */
  lead: number;
  /** See {@link AutoregressiveBlock.description}. */
  description: unknown;
}

/** What the layers read: entries h (rows, entries, channels), and how positions turn them. */
export interface Entries {
  h: tf.Tensor3D;
  rotary?: Rotary;
  /** Entries at the beginning that predict nothing. Absent: none. */
  silent?: number;
}

/**
 * The entries of consecutive tokens (rows, n, D) from position t on, in a loop over tokens: h (rows,
 * n, channels), and n rows of cosines and sines.
 */
export type EntryFunction = (
  t: tf.Scalar,
  tokens: tf.Tensor3D,
) => { h: tf.Tensor3D; rotary?: Rotary };

/**
 * An autoregressive block whose predictions a causal transformer makes. A kind of model says what its
 * layers read and what becomes of their outputs.
 */
export abstract class TransformerBlock<P extends TransformerBlockParameters>
  implements AutoregressiveBlock
{
  readonly index: number;
  readonly stack: number;
  readonly tokens: number;
  readonly width: number;
  readonly direction: 'forward' | 'reverse';
  readonly given: 0 | 1;
  readonly lead: number;
  readonly description: unknown;
  readonly work: number;
  readonly depth: number;
  readonly heads: number;
  readonly cacheWidth: number;
  private readonly headWidth: number;

  constructor(
    readonly parameters: P,
    { channels, headWidth, ...shape }: TransformerBlockShape,
  ) {
    this.index = shape.index;
    this.stack = shape.stack;
    this.tokens = shape.tokens;
    this.width = shape.width;
    this.direction = shape.direction;
    this.given = shape.given;
    this.lead = shape.lead;
    this.description = shape.description;
    this.depth = parameters.attn_blocks.length;
    this.work = 12 * channels ** 2 * this.depth;
    this.cacheWidth = 2 * channels * this.depth;
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
   * @param parameters and `linear` as {@link loopLinear} makes them
   * @param places raster index of each token in the block's order (T) int32
   */
  protected abstract entryFunction(
    loop: { parameters: P; linear: Linear },
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
    const result = transformer(parameters.attn_blocks, h, {
      ...{ headWidth, cache, temperature, keepCache, rotary },
    });
    const seen = silent === 0 ? result.h : tf.slice(result.h, [0, silent, 0], [-1, -1, -1]);
    const out = overRows(seen, (rows) => this.outputs(parameters, rows, storedLinear));
    return { next: this.gaussian(out, 2), cache: result.cache };
  }

  decoder(rows: number, places: tf.Tensor1D): Decoder {
    const { heads, headWidth, lead, depth } = this;
    const loop = loopLinear(this.parameters, rows);
    const { parameters, linear } = loop;
    const entryUnder = this.entryFunction(loop, places);
    const stepper = (conditions: Conditions): StepFunction => {
      const entry = entryUnder(conditions);
      const temperature = conditions.temperature && ofHeads(conditions.temperature, heads);
      return (t, tokens, cache) => {
        const place = lead === 0 ? t : (tf.add(t, tf.scalar(lead, 'int32')) as tf.Scalar);
        const [rows, count] = tokens.shape;
        const { h, rotary } = entry(t, tokens);
        const flat = tf.reshape(h, [rows * count, h.shape[2]]) as tf.Tensor2D;
        const step = transformerStep(parameters.attn_blocks, flat, {
          ...{ headWidth, linear, count, place, cache, temperature, rotary },
        });
        const out = this.outputs(parameters, step.h, linear);
        const next = tf.reshape(out, [rows, count, out.shape[1]]) as tf.Tensor3D;
        return { next: this.gaussian(next, 2), cache: step.cache };
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

/** A function of rows (rows, inputs), applied to entries (rows, n, inputs). */
export function overRows(x: tf.Tensor3D, apply: (rows: tf.Tensor2D) => tf.Tensor2D): tf.Tensor3D {
  const [rows, count, inputs] = x.shape;
  const flat = apply(tf.reshape(x, [rows * count, inputs]) as tf.Tensor2D);
  return tf.reshape(flat, [rows, count, flat.shape[1]]);
}

/** Numbers of rows (rows, 1, 1, 1) as numbers of their heads (rows·heads, 1, 1). */
function ofHeads(numbers: tf.Tensor4D, heads: number): tf.Tensor3D {
  return tf.reshape(tf.tile(numbers, [1, heads, 1, 1]), [-1, 1, 1]);
}
