import { withSlice } from '@tarflow/graph';
import { attention, gelu, linear } from '../core/ops.js';
import { foldIn, type RandomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { type Leaves, leaf, mapTree } from '../core/tree.js';
import { type AnyNormParameters, type LinearParameters, linearSpecs, normed } from './layers.js';
import { type Rotary, rotated } from './rotary.js';
import type { Specified, Specs } from './specs.js';

/** One transformer layer. The keys are those of the published state dicts. */
export type LayerParameters = Specified<ReturnType<typeof layerSpecs<Specs<AnyNormParameters>>>>;

/** A fresh layer, see `linearSpecs`, with a normalisation before each half. */
export function layerSpecs<N extends Specs<AnyNormParameters>>(
  key: RandomKey,
  channels: number,
  norm: N,
) {
  return {
    attention: {
      norm,
      qkv: linearSpecs(foldIn(key, 'qkv'), 3 * channels, channels),
      proj: linearSpecs(foldIn(key, 'proj'), channels, channels),
    },
    mlp: {
      norm,
      main: {
        0: linearSpecs(foldIn(key, 'main.0'), 4 * channels, channels),
        2: linearSpecs(foldIn(key, 'main.2'), channels, 4 * channels),
      },
    },
  };
}

/** A linear layer applied to rows. */
export type Linear = (parameters: LinearParameters, x: tf.Tensor2D) => tf.Tensor2D;

/** A linear layer with its weight as it is stored, (outputs, inputs). */
export const storedLinear: Linear = ({ weight, bias }, x) => linear(x, weight, bias);

/**
 * A causal transformer layer, pre-norm, with residual connections: h + attention(norm h), then
 * h + mlp(norm h).
 *
 * @param h (rows, channels)
 * @param attend from rows of queries, keys and values side by side (rows, 3·channels) to what each
 *   row attends to (rows, channels)
 */
function layer(
  { attention: attend, mlp }: LayerParameters,
  h: tf.Tensor2D,
  linearLayer: Linear,
  attended: (qkv: tf.Tensor2D) => tf.Tensor2D,
): tf.Tensor2D {
  const joined = attended(linearLayer(attend.qkv, normed(attend.norm, h)));
  const between = tf.add(h, linearLayer(attend.proj, joined));
  const hidden = gelu(linearLayer(mlp.main[0], normed(mlp.norm, between)));
  return tf.add(between, linearLayer(mlp.main[2], hidden));
}

/** How a causal transformer is evaluated. */
export interface TransformerOptions {
  /** Width of an attention head; divides the channels. */
  headWidth: number;
  /**
   * Keys and values of earlier tokens, which every new token sees: `keys0`, `values0` and so on, each
   * (rows, heads, seen, head width).
   */
  cache?: Leaves | undefined;
  /**
   * Divides the attention logits: one number per row (rows, 1, 1, 1). Below 1 sharpens. Absent: 1.
   */
  temperature?: tf.Tensor4D | undefined;
  /** Turns queries and keys of the given tokens by their positions; absent: not at all. */
  rotary?: Rotary | undefined;
  /** True to return the cache extended by the new tokens; keys are kept as they were turned. */
  keepCache?: boolean | undefined;
}

/**
 * A causal transformer: each token sees itself and all before it.
 *
 * @param layers in the order in which they are applied
 * @param h (rows, tokens, channels)
 * @returns the new h of the same shape and, if asked for, the extended cache
 */
export function transformer(
  layers: readonly LayerParameters[],
  h: tf.Tensor3D,
  options: TransformerOptions,
): { h: tf.Tensor3D; cache: Leaves | undefined } {
  const { cache, keepCache = false } = options;
  const extended: Leaves = {};
  let current = h;
  layers.forEach((parameters, index) => {
    const [keysName, valuesName] = [`keys${index}`, `values${index}`];
    const seen = cache && {
      keys: leaf(cache, keysName, 4),
      values: leaf(cache, valuesName, 4),
    };
    // A scope per layer: what a layer made is freed before the next one runs, except what a gradient
    // under way has saved.
    const made = tidy(() => {
      const { out, keys, values } = wholeLayer(parameters, current, seen, options);
      return { out, ...(keepCache && { keys, values }) };
    });
    current = made.out;
    if (made.keys) extended[keysName] = made.keys;
    if (made.values) extended[valuesName] = made.values;
  });
  return { h: current, cache: keepCache ? extended : undefined };
}

/** Keys and values of the tokens that a layer has seen: each (rows, heads, seen, head width). */
interface LayerCache {
  keys: tf.Tensor4D;
  values: tf.Tensor4D;
}

function wholeLayer(
  parameters: LayerParameters,
  h: tf.Tensor3D,
  cache: LayerCache | undefined,
  { headWidth, temperature, rotary }: TransformerOptions,
): { out: tf.Tensor3D } & LayerCache {
  const [batch, tokens, channels] = h.shape;
  const heads = channels / headWidth;
  const logitScale = 1 / Math.sqrt(headWidth);
  const scale = temperature ? tf.div(logitScale, temperature) : logitScale;
  let seen = cache;
  const attended = (qkv: tf.Tensor2D): tf.Tensor2D => {
    // [all q heads | all k heads | all v heads] → three of (batch, heads, tokens, width)
    const [q0, k0, v] = tf.unstack(
      tf.transpose(tf.reshape(qkv, [batch, tokens, 3, heads, headWidth]), [2, 0, 3, 1, 4]),
    ) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    const [q, k] = rotary ? [rotated(q0, rotary), rotated(k0, rotary)] : [q0, k0];
    const keys = cache ? tf.concat([cache.keys, k], 2) : k;
    const values = cache ? tf.concat([cache.values, v], 2) : v;
    seen = { keys, values };
    const mixed = causalAttention(q, keys, values, scale);
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * tokens, channels]);
  };
  const rows = tf.reshape(h, [batch * tokens, channels]);
  const out = layer(parameters, rows, storedLinear, attended);
  return {
    out: tf.reshape(out, [batch, tokens, channels]),
    ...(seen as LayerCache),
  };
}

/**
 * Attention of the newest tokens, each to itself and all before it. Many are taken in turns of a
 * few, because none of those looks beyond their last: that is little more than half of the products
 * and exponentials, and what is made in between fits into a processor's cache.
 */
function causalAttention(
  q: tf.Tensor4D,
  keys: tf.Tensor4D,
  values: tf.Tensor4D,
  scale: number | tf.Tensor,
): tf.Tensor4D {
  const tokens = q.shape[2];
  if (tokens === 1) return attention(q, keys, values, { scale });
  const seen = keys.shape[2] - tokens;
  const turns = Math.min(mostTurns, Math.ceil(tokens / leastPerTurn));
  const parts = Array.from({ length: turns }, (_, turn) => {
    const [from, to] = [turn, turn + 1].map((i) => Math.floor((i * tokens) / turns)) as [
      number,
      number,
    ];
    const taken = (x: tf.Tensor4D, start: number, end: number): tf.Tensor4D =>
      end - start === x.shape[2] ? x : tf.slice(x, [0, 0, start, 0], [-1, -1, end - start, -1]);
    const last = seen + to;
    const mask = causalMask(to - from, seen + from);
    const logits = { scale, mask };
    return attention(taken(q, from, to), taken(keys, 0, last), taken(values, 0, last), logits);
  });
  return tf.concat(parts, 2);
}

const leastPerTurn = 64;
const mostTurns = 8;

/**
 * The additive mask (tokens, seen + tokens): every earlier token is seen, and of the new ones those
 * up to and including oneself. (With four dimensions TensorFlow would add it in a product that is ten
 * times slower.)
 */
function causalMask(tokens: number, seen: number): tf.Tensor2D {
  const mask = new Float32Array(tokens * (seen + tokens));
  for (let query = 0; query < tokens; query++) {
    // Finite, so that −∞ − (−∞) cannot arise; exp(−1e9) is zero in float32.
    mask.fill(-1e9, query * (seen + tokens) + seen + query + 1, (query + 1) * (seen + tokens));
  }
  return tf.tensor2d(mask, [tokens, seen + tokens]);
}

/**
 * Below as many rows, x·W with a weight that was transposed before the loop is faster than x·Wᵀ with
 * the weight as it is stored, which would be copied in every round.
 */
const manyRows = 96;

/**
 * Linear layers of a tree of parameters in the form that suits a loop over tokens: weights are
 * transposed before the loop where a step has few rows.
 *
 * @returns the parameters so changed, and the function that applies their linear layers
 */
export function loopLinear<P extends Parameters<typeof mapTree>[0]>(
  parameters: P,
  rows: number,
): { parameters: P; linear: Linear } {
  const few = rows < manyRows;
  return {
    parameters: few
      ? mapTree(parameters, (tensor, name) =>
          name.endsWith('.weight') && tensor.rank === 2 ? tf.transpose(tensor) : tensor,
        )
      : parameters,
    linear: ({ weight, bias }, x) => tf.add(tf.matMul(x, weight, false, !few), bias),
  };
}

/** A step of a transformer in a loop over tokens, which writes keys and values in place. */
export interface TransformerStep {
  headWidth: number;
  linear: Linear;
  /** The entry of the cache that the token gets, a scalar int32. */
  place: tf.Scalar;
  /**
   * Keys and values as `emptyStepCache` makes them. Rows and heads are one axis, as the products take
   * them: were they two, XLA would not write in place, but make three copies in every round.
   */
  cache: Leaves;
  /** Divides the attention logits (rows·heads, 1, 1). */
  temperature?: tf.Tensor3D | undefined;
  /** Turns queries and keys of the token, one row; absent: not at all. */
  rotary?: Rotary | undefined;
}

/**
 * {@link transformer} for one token of each row: h is (rows, channels). What the cache has at its place
 * and behind is not looked at.
 */
export function transformerStep(
  layers: readonly LayerParameters[],
  h: tf.Tensor2D,
  { headWidth, linear: linearLayer, place, cache, temperature, rotary }: TransformerStep,
): { h: tf.Tensor2D; cache: Leaves } {
  const [rowsOfHeads, length] = leaf(cache, 'keys0', 3).shape;
  const split = (x: tf.Tensor): tf.Tensor3D => tf.reshape(x, [rowsOfHeads, 1, headWidth]);
  const mask = unseenMask(place, length);
  const extended: Leaves = {};
  let current = h;
  layers.forEach((parameters, index) => {
    current = layer(parameters, current, linearLayer, (qkv) => {
      const [q0, k0, v] = tf.split(qkv, 3, 1).map(split) as [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D];
      const [q, k] = rotary ? [rotated(q0, rotary), rotated(k0, rotary)] : [q0, k0];
      const keys = withSlice(leaf(cache, `keys${index}`, 3), 1, place, k);
      const values = withSlice(leaf(cache, `values${index}`, 3), 1, place, v);
      extended[`keys${index}`] = keys;
      extended[`values${index}`] = values;
      let logits = tf.matMul(q, keys, false, true);
      logits = tf.mul(logits, 1 / Math.sqrt(headWidth));
      if (temperature) logits = tf.div(logits, temperature);
      const weights = tf.softmax(tf.add(logits, mask)) as tf.Tensor3D;
      return tf.reshape(tf.matMul(weights, values), h.shape);
    });
  });
  return { h: current, cache: extended };
}

/** The additive mask (1, length) of a step's token: it sees the cache up to its own entry. */
function unseenMask(place: tf.Scalar, length: number): tf.Tensor2D {
  const unseen = tf.greater(tf.range(0, length, 1, 'int32'), tf.reshape(place, [1, 1]));
  return tf.mul(tf.cast(unseen, 'float32'), -1e9);
}

/** An empty cache of a loop: for each layer keys and values (rows·heads, length, head width). */
export function emptyStepCache(
  layers: number,
  rowsOfHeads: number,
  length: number,
  headWidth: number,
): Leaves {
  const shape: [number, number, number] = [rowsOfHeads, length, headWidth];
  return Object.fromEntries(
    Array.from({ length: layers }, (_, layer) => [`keys${layer}`, `values${layer}`])
      .flat()
      .map((name) => [name, tf.fill(shape, 0)]),
  );
}

/** A cache of {@link transformer} in the form of a loop, with room for `length` entries. */
export function stepCacheOf(cache: Leaves, length: number): Leaves {
  const folded = mapTree(cache, (_, name) => {
    const whole = leaf(cache, name, 4);
    const [rows, heads, seen, width] = whole.shape;
    return tf.reshape(whole, [rows * heads, seen, width]);
  });
  return lengthenedStepCache(folded, length);
}

/** A cache of a loop with room for `length` entries. */
export function lengthenedStepCache(cache: Leaves, length: number): Leaves {
  return mapTree(cache, (_, name) => {
    const entries = leaf(cache, name, 3);
    const missing = length - entries.shape[1];
    const none: [number, number] = [0, 0];
    return missing === 0 ? entries : tf.pad(entries, [none, [0, missing], none]);
  });
}
