import { droppedClasses } from '../../conditions/labels.js';
import { consecutive } from '../../core/ops.js';
import { tf } from '../../core/tf.js';
import { type Leaves, withLeaves } from '../../core/tree.js';
import type { Conditions, Place } from '../../flow/autoregressive.js';
import type { Gaussian } from '../../flow/gaussian.js';
import {
  type Entries,
  type EntryFunction,
  overRows,
  TransformerBlock,
} from '../../flow/transformer-block.js';
import { bounded, type LinearParameters, normed } from '../../nn/layers.js';
import { rotaryRows } from '../../nn/rotary.js';
import { type Linear, storedLinear } from '../../nn/transformer.js';
import { prefixEntries, type StarFlowConfig, starflowTokens, starflowWidth } from './config.js';
import type { StarFlowBlockParameters } from './parameters.js';
import { rotaryTable } from './positions.js';

/** A block's parameters, and in one that reads captions the states of the empty one. */
type Parameters = StarFlowBlockParameters & { empty_text?: tf.Tensor2D };

/**
 * A block of a STARFlow: a causal transformer with rotary positions predicts mean and scale of each
 * token, the first one from a start token. The last block reads a class or a caption before it.
 */
export class StarFlowBlock extends TransformerBlock<Parameters> {
  /** Entries of a class or a caption. */
  private readonly prefix: number;

  constructor(
    private readonly config: StarFlowConfig,
    parameters: Parameters,
    index: number,
  ) {
    const { channels, headWidth, layersPerBlock, startToken, firstDirection } = config;
    const prefix = parameters.proj_txt ? prefixEntries(config) : 0;
    const turns = firstDirection === 'reverse' ? index + 1 : index;
    super(parameters, {
      ...{ index, stack: layersPerBlock.length, channels, headWidth },
      tokens: starflowTokens(config),
      width: starflowWidth(config),
      direction: turns % 2 === 0 ? 'forward' : 'reverse',
      given: startToken ? 0 : 1,
      lead: prefix + (startToken ? 1 : 0),
      description: [config, parameters.attn_blocks.length, prefix],
    });
    this.prefix = prefix;
  }

  withParameters(parameters: Leaves): StarFlowBlock {
    return new StarFlowBlock(this.config, withLeaves(this.parameters, parameters), this.index);
  }

  unconditional(rows: number): Conditions {
    if (this.prefix === 0) return {};
    const { empty_text: empty } = this.parameters;
    if (!empty) return droppedClasses(this.config, rows);
    return { text: tf.tile(tf.expandDims<tf.Tensor3D>(empty, 0), [rows, 1, 1]) };
  }

  outputWeights(): { mean: tf.Tensor2D; logScale?: tf.Tensor2D } {
    const [logScale, mean] = tf.split(this.parameters.proj_out.weight, 2, 0) as [
      tf.Tensor2D,
      tf.Tensor2D,
    ];
    return { mean, logScale };
  }

  protected entries(tokens: tf.Tensor3D, { start = 0, cache, conditions = {} }: Place): Entries {
    const { proj_in } = this.parameters;
    const h = cache ? projected(proj_in, tokens) : this.begun(tokens, conditions);
    return {
      h,
      rotary: rotaryRows(this.positions(), cache ? this.lead + start : 0, h.shape[1]),
      // What comes before the start token predicts nothing.
      silent: cache ? 0 : this.prefix,
    };
  }

  protected entryFunction({
    parameters,
    linear,
  }: {
    parameters: Parameters;
    linear: Linear;
  }): () => EntryFunction {
    const { cos, sin } = this.positions();
    return () => (t, tokens) => {
      const first = tf.add(t, tf.scalar(this.lead, 'int32')) as tf.Scalar;
      const places = consecutive(first, tokens.shape[1]);
      return {
        h: overRows(tokens, (rows) => linear(parameters.proj_in, rows)),
        rotary: { cos: tf.gather(cos, places), sin: tf.gather(sin, places) },
      };
    };
  }

  protected outputs(
    { final_norm: norm, proj_out }: Parameters,
    rows: tf.Tensor2D,
    linear: Linear,
  ): tf.Tensor2D {
    const out = linear(proj_out, norm ? normed(norm, rows) : rows);
    const { softClip } = this.config;
    return softClip > 0 ? bounded(out, softClip) : out;
  }

  /** Scales before means along an axis. */
  protected gaussian<T extends tf.Tensor>(out: T, axis: number): Gaussian<T> {
    const [raw, mean] = tf.split(out, 2, axis) as [T, T];
    return { mean, logScale: this.config.scale === 'exp' ? raw : logSoftplus(raw) };
  }

  /** Cosines and sines of all entries: the prefix, then as many as there are tokens. */
  private positions() {
    const { cos, sin } = rotaryTable(this.config, this.prefix > 0);
    return { cos, sin };
  }

  /** The beginning of a sequence: class or caption, start token, tokens. */
  private begun(tokens: tf.Tensor3D, conditions: Conditions): tf.Tensor3D {
    const [rows, count] = tokens.shape;
    const { sos_embed: start, proj_txt: projection, proj_in } = this.parameters;
    const started = start
      ? [tf.tile(start, [rows, 1, 1]), ...(count > 0 ? [tokens] : [])]
      : [tokens];
    const h = projected(
      proj_in,
      started.length === 1 ? (started[0] as tf.Tensor3D) : tf.concat(started, 1),
    );
    if (!projection) return h;
    return tf.concat([projected(projection, this.prefixStates(conditions, rows)), h], 1);
  }

  /** The states of a class or a caption (rows, entries, width). */
  private prefixStates(given: Conditions, rows: number): tf.Tensor3D {
    const { classes, text } = { ...this.unconditional(rows), ...present(given) };
    if (text) return text;
    return tf.expandDims(classes as tf.Tensor2D, 1) as tf.Tensor3D;
  }
}

/** A linear layer applied to entries (rows, n, inputs). */
function projected(layer: LinearParameters, entries: tf.Tensor3D): tf.Tensor3D {
  return overRows(entries, (rows) => storedLinear(layer, rows));
}

/** Softplus of this is 1. */
const softplusOfOne = Math.log(Math.E - 1);

/** The logarithm of softplus(a + ln(e − 1)), which is 0 at a = 0. */
export function logSoftplus<T extends tf.Tensor>(a: T): T {
  return tf.log(tf.softplus(tf.add(a, softplusOfOne))) as T;
}

function present({ classes, text }: Conditions): Conditions {
  return { ...(classes && { classes }), ...(text && { text }) };
}
