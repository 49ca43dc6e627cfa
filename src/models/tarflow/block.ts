import { droppedClasses } from '../../conditions/labels.js';
import { tf } from '../../core/tf.js';
import { type Leaves, withLeaves } from '../../core/tree.js';
import type { Conditions, Place } from '../../flow/autoregressive.js';
import { type Gaussian, sideBySide } from '../../flow/gaussian.js';
import { tokenCount, tokenWidth } from '../../flow/patches.js';
import {
  type Entries,
  type EntryFunction,
  type LoopLayers,
  projected,
  TransformerBlock,
} from '../../flow/transformer-block.js';
import { embedding } from '../../nn/layers.js';
import type { Linear } from '../../nn/transformer.js';
import type { TarFlowConfig } from './config.js';
import type { BlockParameters } from './parameters.js';

/**
 * A block of a TarFlow: a causal transformer over patches predicts mean and log-scale of the next one
 * (TarFlow, section 3.1). Odd blocks read the tokens in reverse, and the first token passes through.
 */
export class TarFlowBlock extends TransformerBlock<BlockParameters> {
  constructor(
    private readonly config: TarFlowConfig,
    parameters: BlockParameters,
    index: number,
  ) {
    const { channels, headWidth, blocks, directions } = config;
    super(parameters, {
      index,
      stack: blocks,
      channels,
      headWidth,
      tokens: tokenCount(config),
      width: tokenWidth(config),
      direction: index % 2 === 0 || directions === 'same' ? 'forward' : 'reverse',
      given: 1,
      lead: 0,
      description: [config, parameters.attn_blocks.length],
    });
  }

  withParameters(parameters: Leaves): TarFlowBlock {
    return new TarFlowBlock(this.config, withLeaves(this.parameters, parameters), this.index);
  }

  unconditional(rows: number): Conditions {
    return droppedClasses(this.config, rows);
  }

  outputWeights(): { mean: tf.Tensor2D; logScale?: tf.Tensor2D } {
    return this.gaussian(this.parameters.proj_out.weight, 0);
  }

  protected entries(tokens: tf.Tensor3D, { start = 0, conditions = {} }: Place): Entries {
    const embedded = projected(this.parameters.proj_in, tokens);
    const h = tf.add(embedded, this.positions(start, tokens.shape[1]));
    const term = this.classTerm(conditions);
    return { h: term ? tf.add(h, tf.expandDims(term, 1)) : h };
  }

  protected entryFunction(
    { parameters, linear }: LoopLayers<BlockParameters>,
    places: tf.Tensor1D,
  ): (conditions: Conditions) => EntryFunction {
    const positions = tf.gather(parameters.pos_embed, places);
    return (conditions) => {
      const term = this.classTerm(conditions);
      return (t, token) => {
        const h: tf.Tensor2D = tf.add(linear(parameters.proj_in, token), tf.gather(positions, t));
        return { h: term ? tf.add(h, term) : h };
      };
    };
  }

  protected outputs({ proj_out }: BlockParameters, rows: tf.Tensor2D, linear: Linear): tf.Tensor2D {
    return linear(proj_out, rows);
  }

  /** The published outputs: log-scales before means along an axis, or means alone. */
  protected gaussian<T extends tf.Tensor>(out: T, axis: number): Gaussian<T> {
    if (this.config.volumePreserving) return { mean: out };
    return sideBySide(out, axis);
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
    return embedding(tf.reshape(table, [count, channels]), classes);
  }
}
