import { droppedClasses } from '../../conditions/labels.js';
import { at, UserError } from '../../core/errors.js';
import { tf } from '../../core/tf.js';
import { type Leaves, withLeaves } from '../../core/tree.js';
import type { Conditions, Place } from '../../flow/autoregressive.js';
import { type Gaussian, sideBySide } from '../../flow/gaussian.js';
import { gridOf, tokenCount, tokenWidth } from '../../flow/patches.js';
import {
  type Entries,
  type EntryFunction,
  type LoopLayers,
  projected,
  TransformerBlock,
} from '../../flow/transformer-block.js';
import { bounded, normed } from '../../nn/layers.js';
import { type Rotary, rotaryOf, rotaryRows } from '../../nn/rotary.js';
import type { Linear } from '../../nn/transformer.js';
import { captionNumbers, prefixEntries, type StarFlowConfig } from './config.js';
import type { StarFlowBlockParameters } from './parameters.js';

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

  protected entryFunction({ parameters, linear }: LoopLayers<Parameters>): () => EntryFunction {
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
  private positions(): Rotary {
    const { headWidth } = this.config;
    const angles = angleTable(this.config, this.prefix > 0);
    return rotaryOf(tf.tensor2d(angles, [angles.length / headWidth, headWidth]));
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
    const none = this.unconditional(rows);
    const { classes = none.classes, text = none.text } = given;
    const states = text ?? (classes && tf.expandDims(classes, 1));
    if (states) return states;
    throw new UserError(
      'Neither a class nor a caption came for a block that reads one',
      'Give its conditions, or those of `unconditional`',
    );
  }
}

/** Softplus of this is 1. */
const softplusOfOne = Math.log(Math.E - 1);

/** The logarithm of softplus(a + ln(e − 1)), which is 0 at a = 0. */
export function logSoftplus<T extends tf.Tensor>(a: T): T {
  const moved: T = tf.add(a, softplusOfOne);
  return tf.log(tf.softplus(moved));
}

/** Angles fall from 1 by powers of this. */
const base = 10_000;

/**
 * The angles by which queries and keys turn (entries, headWidth), both numbers of a pair alike: first
 * those of a class or a caption, where `withPrefix` asks for them, then those of the tokens in raster
 * order. A block that reads in reverse takes them in the same order: they belong to places in its
 * sequence. The grid is scaled to the one of training (STARFlow, section 3.2 and its published code).
 */
export function angleTable(config: StarFlowConfig, withPrefix: boolean): Float32Array {
  const entries = prefixEntries(config);
  const [rows, columns] = gridOf(config);
  const scale = config.gridSide / Math.sqrt(rows * columns);
  const places: [row: number, column: number, caption: number][] = [];
  if (withPrefix) {
    for (let k = 0; k < entries; k++) places.push([0, 0, (k / entries) * config.gridSide]);
  }
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      places.push([row * scale, column * scale, 0]);
    }
  }
  // Pairs of a head: half of those that are not a caption's turn by row, half by column.
  const forCaptions = entries > 0 ? captionNumbers / 2 : 0;
  const forGrid = config.headWidth / 2 - forCaptions;
  const gridRates = Array.from({ length: forGrid / 2 }, (_, j) => base ** ((-2 * j) / forGrid));
  const captionRates = Array.from({ length: forCaptions }, (_, j) => base ** (-j / forCaptions));
  const angles = places.flatMap(([row, column, caption]) => [
    ...gridRates.map((rate) => row * rate),
    ...gridRates.map((rate) => column * rate),
    ...captionRates.map((rate) => caption * rate),
  ]);
  return Float32Array.from({ length: 2 * angles.length }, (_, i) => at(angles, i >> 1));
}
