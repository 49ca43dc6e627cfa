import { droppedClasses } from '../../conditions/labels.js';
import { UserError } from '../../core/errors.js';
import { tf } from '../../core/tf.js';
import { type Leaves, withLeaves } from '../../core/tree.js';
import type { Conditions, Place } from '../../flow/autoregressive.js';
import { type Gaussian, sideBySide } from '../../flow/gaussian.js';
import { tokenCount, tokenWidth } from '../../flow/patches.js';
import {
  type Entries,
  type EntryFunction,
  overRows,
  TransformerBlock,
} from '../../flow/transformer-block.js';
import { bounded, type LinearParameters, normed } from '../../nn/layers.js';
import { rotaryRows } from '../../nn/rotary.js';
import { type Linear, storedLinear } from '../../nn/transformer.js';
import { prefixEntries, type StarFlowConfig } from './config.js';
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
      index,
      stack: layersPerBlock.length,
      channels,
      headWidth,
      tokens: tokenCount(config),
      width: tokenWidth(config),
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
    return sideBySide(this.parameters.proj_out.weight, 0);
  }

  protected entries(tokens: tf.Tensor3D, { start = 0, cache, conditions = {} }: Place): Entries {
    const { proj_in } = this.parameters;
    const h = cache ? projected(proj_in, tokens) : this.begun(tokens, conditions);
    return {
      h,
      rotary: rotaryRows(this.positions(), cache ? this.cache.lead + start : 0, h.shape[1]),
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
    return () => (t, token) => {
      const place = tf.reshape(tf.add(t, tf.scalar(this.cache.lead, 'int32')), [1]);
      return {
        h: linear(parameters.proj_in, token),
        rotary: { cos: tf.gather(cos, place), sin: tf.gather(sin, place) },
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
    const { mean, logScale } = sideBySide(out, axis);
    return { mean, logScale: this.config.scale === 'exp' ? logScale : logSoftplus(logScale) };
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
    let entries = tokens;
    if (start) {
      const first = tf.tile(start, [rows, 1, 1]);
      entries = count > 0 ? tf.concat([first, tokens], 1) : first;
    }
    const h = projected(proj_in, entries);
    if (!projection) return h;
    return tf.concat([projected(projection, this.prefixStates(conditions, rows)), h], 1);
  }

  /** The states of a class or a caption (rows, entries, width). */
  private prefixStates(given: Conditions, rows: number): tf.Tensor3D {
    const { classes, text } = { ...this.unconditional(rows), ...present(given) };
    const states = text ?? (classes && tf.expandDims(classes, 1));
    if (states) return states;
    throw new UserError(
      'Neither a class nor a caption came for a block that reads one',
      'Give its conditions, or those of `unconditional`',
    );
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
  const moved: T = tf.add(a, softplusOfOne);
  return tf.log(tf.softplus(moved));
}

function present({ classes, text }: Conditions): Conditions {
  return { ...(classes && { classes }), ...(text && { text }) };
}
