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
import { bounded, normed } from '../../nn/layers.js';
import { rotaryRows } from '../../nn/rotary.js';
import {
  emptyStepCache,
  type Linear,
  lengthenedStepCache,
  loopLinear,
  stepCacheOf,
  storedLinear,
  transformer,
  transformerStep,
} from '../../nn/transformer.js';
import { prefixEntries, type StarFlowConfig, starflowTokens, starflowWidth } from './config.js';
import type { StarFlowBlockParameters } from './parameters.js';
import { rotaryTable } from './positions.js';

/** A block's parameters, and in one that reads captions the states of the empty one. */
type Parameters = StarFlowBlockParameters & { empty_text?: tf.Tensor2D };

/**
 * A block of a STARFlow: a causal transformer with rotary positions predicts mean and scale of each
 * token, the first one from a start token. The last block reads a class or a caption before it.
 */
export class StarFlowBlock implements AutoregressiveBlock {
  readonly tokens: number;
  readonly width: number;
  readonly given: 0 | 1;
  readonly lead: number;
  readonly stack: number;
  readonly work: number;
  readonly depth: number;
  readonly cacheWidth: number;
  readonly heads: number;
  readonly description: unknown;
  readonly direction: 'forward' | 'reverse';
  /** Entries of a class or a caption. */
  private readonly prefix: number;

  constructor(
    private readonly config: StarFlowConfig,
    readonly parameters: Parameters,
    readonly index: number,
  ) {
    const { channels, headWidth, layersPerBlock, startToken, firstDirection } = config;
    const layers = layersPerBlock[index] as number;
    this.tokens = starflowTokens(config);
    this.width = starflowWidth(config);
    this.prefix = parameters.proj_txt ? prefixEntries(config) : 0;
    this.given = startToken ? 0 : 1;
    this.lead = this.prefix + (startToken ? 1 : 0);
    this.stack = layersPerBlock.length;
    this.work = 12 * channels ** 2 * layers;
    this.depth = layers;
    this.heads = channels / headWidth;
    this.cacheWidth = 2 * channels * layers;
    const turns = firstDirection === 'reverse' ? index + 1 : index;
    this.direction = turns % 2 === 0 ? 'forward' : 'reverse';
    this.description = [config, layers, this.prefix];
  }

  withParameters(parameters: Leaves): StarFlowBlock {
    return new StarFlowBlock(this.config, withLeaves(this.parameters, parameters), this.index);
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
    const [rows] = tokens.shape;
    const h = cache ? this.embedded(tokens) : this.begun(tokens, conditions);
    const count = h.shape[1];
    const rotary = rotaryRows(this.positions(), cache ? this.lead + start : 0, count);
    const result = transformer(parameters.attn_blocks, h, {
      ...{ headWidth: config.headWidth, cache, temperature: conditions.temperature },
      ...{ keepCache, rotary },
    });
    // What comes before the start token predicts nothing.
    const silent = cache ? 0 : this.prefix;
    const seen = silent === 0 ? result.h : tf.slice(result.h, [0, silent, 0], [-1, -1, -1]);
    const flat = tf.reshape(seen, [-1, config.channels]) as tf.Tensor2D;
    const out = tf.reshape(this.outputs(parameters, flat, storedLinear), [
      rows,
      count - silent,
      2 * this.width,
    ]) as tf.Tensor3D;
    return { next: this.gaussian(out, 2), cache: result.cache };
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

  decoder(rows: number): Decoder {
    const { config, heads, lead } = this;
    const { parameters, linear: linearLayer } = loopLinear(this.parameters, rows);
    const positions = this.positions();
    const stepper = (conditions: Conditions): StepFunction => {
      const { temperature: given } = conditions;
      const temperature =
        given && (tf.reshape(tf.tile(given, [1, heads, 1, 1]), [-1, 1, 1]) as tf.Tensor3D);
      return (t, token, cache) => {
        const place = tf.add(t, tf.scalar(lead, 'int32')) as tf.Scalar;
        const row = (table: tf.Tensor2D) =>
          tf.expandDims(tf.gather(table, place), 0) as tf.Tensor2D;
        const h = linearLayer(parameters.proj_in, token);
        const result = transformerStep(parameters.attn_blocks, h, {
          ...{ headWidth: config.headWidth, linear: linearLayer, place, cache, temperature },
          rotary: { cos: row(positions.cos), sin: row(positions.sin) },
        });
        const out = this.outputs(parameters, result.h, linearLayer);
        return { next: this.gaussian(out, 1), cache: result.cache };
      };
    };
    return {
      emptyCache: (count, length) =>
        emptyStepCache(this.depth, count * heads, lead + length, config.headWidth),
      cacheOf: (cache, length) => stepCacheOf(cache, lead + length),
      lengthened: (cache, length) => lengthenedStepCache(cache, lead + length),
      stepper,
    };
  }

  /** Cosines and sines of all entries: the prefix, then as many as there are tokens. */
  private positions() {
    const { cos, sin } = rotaryTable(this.config, this.prefix > 0);
    return { cos, sin };
  }

  /** Tokens (rows, n, D) as channels (rows, n, channels). */
  private embedded(tokens: tf.Tensor3D): tf.Tensor3D {
    const [rows, count, width] = tokens.shape;
    const { weight, bias } = this.parameters.proj_in;
    const flat = linear(tf.reshape(tokens, [rows * count, width]) as tf.Tensor2D, weight, bias);
    return tf.reshape(flat, [rows, count, this.config.channels]);
  }

  /** The beginning of a sequence: class or caption, start token, tokens. */
  private begun(tokens: tf.Tensor3D, conditions: Conditions): tf.Tensor3D {
    const [rows, count] = tokens.shape;
    const { sos_embed: start, proj_txt: projection } = this.parameters;
    const started = start
      ? [tf.tile(start, [rows, 1, 1]), ...(count > 0 ? [tokens] : [])]
      : [tokens];
    const h = this.embedded(
      started.length === 1 ? (started[0] as tf.Tensor3D) : tf.concat(started, 1),
    );
    if (!projection) return h;
    const states = this.prefixStates(conditions, rows);
    const { weight, bias } = projection;
    const flat = tf.reshape(states, [rows * this.prefix, -1]) as tf.Tensor2D;
    const before = tf.reshape(linear(flat, weight, bias), [rows, this.prefix, -1]) as tf.Tensor3D;
    return tf.concat([before, h], 1);
  }

  /** The states of a class or a caption (rows, entries, width). */
  private prefixStates(given: Conditions, rows: number): tf.Tensor3D {
    const { classes, text } = { ...this.unconditional(rows), ...present(given) };
    if (text) return text;
    return tf.expandDims(classes as tf.Tensor2D, 1) as tf.Tensor3D;
  }

  /** What the last layer makes of rows (rows, channels): (rows, 2·D). */
  private outputs(
    { final_norm: norm, proj_out }: Parameters,
    rows: tf.Tensor2D,
    linearLayer: Linear,
  ): tf.Tensor2D {
    const out = linearLayer(proj_out, norm ? normed(norm, rows) : rows);
    const { softClip } = this.config;
    return softClip > 0 ? bounded(out, softClip) : out;
  }

  /** Scales before means along an axis. */
  private gaussian<T extends tf.Tensor>(out: T, axis: number): Gaussian<T> {
    const [raw, mean] = tf.split(out, 2, axis) as [T, T];
    return { mean, logScale: this.config.scale === 'exp' ? raw : logSoftplus(raw) };
  }
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
