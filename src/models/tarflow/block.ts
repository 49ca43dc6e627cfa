import { linear } from '../../backend/ops.js';
import { tf } from '../../backend/tf.js';
import { type Leaves, withLeaves } from '../../backend/tree.js';
import { droppedClasses } from '../../conditions/labels.js';
import type {
  AutoregressiveBlock,
  Conditions,
  Decoder,
  Place,
  Prediction,
  StepFunction,
} from '../../flow/autoregressive.js';
import type { Gaussian } from '../../flow/gaussian.js';
import { embedding } from '../../nn/layers.js';
import {
  emptyStepCache,
  lengthenedStepCache,
  loopLinear,
  stepCacheOf,
  transformer,
  transformerStep,
} from '../../nn/transformer.js';
import { type TarFlowConfig, tokenCount, tokenWidth } from './config.js';
import type { BlockParameters } from './parameters.js';

/**
 * A block of a TarFlow: a causal transformer over patches predicts mean and log-scale of the next one
 * (TarFlow, section 3.1). Odd blocks read the tokens in reverse, and the first token passes through.
 */
export class TarFlowBlock implements AutoregressiveBlock {
  readonly tokens: number;
  readonly width: number;
  readonly given = 1;
  readonly lead = 0;
  readonly stack: number;
  readonly work: number;
  readonly depth: number;
  readonly cacheWidth: number;
  readonly heads: number;
  readonly description: unknown;
  readonly direction: 'forward' | 'reverse';

  constructor(
    private readonly config: TarFlowConfig,
    readonly parameters: BlockParameters,
    readonly index: number,
  ) {
    const layers = parameters.attn_blocks.length;
    this.tokens = tokenCount(config);
    this.width = tokenWidth(config);
    this.stack = config.blocks;
    this.work = 12 * config.channels ** 2 * layers;
    this.depth = layers;
    this.heads = config.channels / config.headWidth;
    this.cacheWidth = 2 * config.channels * layers;
    const forward = index % 2 === 0 || config.directions === 'same';
    this.direction = forward ? 'forward' : 'reverse';
    this.description = [config, layers];
  }

  withParameters(parameters: Leaves): TarFlowBlock {
    return new TarFlowBlock(this.config, withLeaves(this.parameters, parameters), this.index);
  }

  /** Reversal is its own inverse. */
  order(x: tf.Tensor3D): tf.Tensor3D {
    return this.direction === 'reverse' ? tf.reverse(x, 1) : x;
  }

  predict(
    tokens: tf.Tensor3D,
    { start = 0, cache, conditions = {}, keepCache }: Place = {},
  ): Prediction {
    const { config, parameters } = this;
    const [batch, count, width] = tokens.shape;
    const embedded = linear(
      tf.reshape(tokens, [batch * count, width]) as tf.Tensor2D,
      parameters.proj_in.weight,
      parameters.proj_in.bias,
    );
    let h = tf.add(
      tf.reshape(embedded, [batch, count, config.channels]),
      this.positions(start, count),
    ) as tf.Tensor3D;
    const term = this.classTerm(conditions);
    if (term) h = tf.add(h, tf.expandDims(term, 1));
    const result = transformer(parameters.attn_blocks, h, {
      headWidth: config.headWidth,
      cache,
      temperature: conditions.temperature,
      keepCache,
    });
    const rows = linear(
      tf.reshape(result.h, [batch * count, config.channels]) as tf.Tensor2D,
      parameters.proj_out.weight,
      parameters.proj_out.bias,
    );
    const out = tf.reshape(rows, [batch, count, -1]) as tf.Tensor3D;
    return { next: this.gaussian(out, 2), cache: result.cache };
  }

  unconditional(rows: number): Conditions {
    return droppedClasses(this.config, rows);
  }

  outputWeights(): { mean: tf.Tensor2D; logScale?: tf.Tensor2D } {
    const { weight } = this.parameters.proj_out;
    return this.gaussian(weight, 0);
  }

  decoder(rows: number, places: tf.Tensor1D): Decoder {
    const { config, heads } = this;
    const { parameters, linear: linearLayer } = loopLinear(this.parameters, rows);
    const layers = parameters.attn_blocks.length;
    const positions = tf.gather(parameters.pos_embed, places);
    const stepper = (conditions: Conditions): StepFunction => {
      const term = this.classTerm(conditions);
      const temperature = conditions.temperature && ofHeads(conditions.temperature, heads);
      return (t, token, cache) => {
        let h = tf.add(linearLayer(parameters.proj_in, token), tf.gather(positions, t));
        if (term) h = tf.add(h, term);
        const result = transformerStep(parameters.attn_blocks, h as tf.Tensor2D, {
          headWidth: config.headWidth,
          linear: linearLayer,
          place: t,
          cache,
          temperature,
        });
        const out = linearLayer(parameters.proj_out, result.h);
        return { next: this.gaussian(out, 1), cache: result.cache };
      };
    };
    return {
      emptyCache: (count, length) =>
        emptyStepCache(layers, count * heads, length, config.headWidth),
      cacheOf: stepCacheOf,
      lengthened: lengthenedStepCache,
      stepper,
    };
  }

  /** The published outputs: log-scales before means along an axis, or means alone. */
  private gaussian<T extends tf.Tensor>(out: T, axis: number): Gaussian<T> {
    if (this.config.volumePreserving) return { mean: out };
    const [logScale, mean] = tf.split(out, 2, axis) as [T, T];
    return { mean, logScale };
  }

  /** Rows of the position table for `count` tokens of the block's order from `start`. */
  private positions(start: number, count: number): tf.Tensor2D {
    const table = this.parameters.pos_embed;
    const [tokens, channels] = table.shape;
    if (this.direction === 'forward') return tf.slice(table, [start, 0], [count, channels]);
    return tf.reverse(tf.slice(table, [tokens - start - count, 0], [count, channels]), 0);
  }

  /** The class term (rows, channels), or (1, channels) where no label is given. */
  private classTerm({ classes }: Conditions): tf.Tensor2D | undefined {
    const table = this.parameters.class_embed;
    if (!table) return undefined;
    const [count, , channels] = table.shape;
    const flat = tf.reshape(table, [count, channels]) as tf.Tensor2D;
    return embedding(flat, classes);
  }
}

/** Numbers of rows (rows, 1, 1, 1) as numbers of their heads (rows·heads, 1, 1). */
function ofHeads(numbers: tf.Tensor4D, heads: number): tf.Tensor3D {
  return tf.reshape(tf.tile(numbers, [1, heads, 1, 1]), [-1, 1, 1]);
}
