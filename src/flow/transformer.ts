import { attention, gelu, layerNorm, linear } from '../backend/ops.js';
import { tf } from '../backend/tf.js';
import type { LayerParameters } from './parameters.js';

/** Keys and values of the tokens that a layer has seen: each (batch, heads, seen, head width). */
export interface LayerCache {
  keys: tf.Tensor4D;
  values: tf.Tensor4D;
}

export interface LayerOptions {
  headWidth: number;
  /** Keys and values of earlier tokens, which every new token sees. */
  cache?: LayerCache | undefined;
  /**
   * Divides the attention logits: a number, or one per sample (batch, 1, 1, 1). Below 1 sharpens.
   */
  temperature?: number | tf.Tensor4D | undefined;
  /** True to return the cache extended by the new tokens. */
  keepCache?: boolean | undefined;
}

/**
 * A causal transformer layer, pre-norm, with residual connections: h + attention(norm h), then
 * h + mlp(norm h). Each token sees itself and all before it.
 *
 * @param h (batch, tokens, channels)
 * @returns the new h of the same shape and, if asked for, the extended cache
 */
export function transformerLayer(
  parameters: LayerParameters,
  h: tf.Tensor3D,
  options: LayerOptions,
): LayerResult {
  // A scope per layer: what a layer made is freed before the next one runs, except what a gradient
  // under way has saved.
  return tf.tidy(() => layerResult(parameters, h, options) as never) as unknown as LayerResult;
}

interface LayerResult {
  h: tf.Tensor3D;
  cache: LayerCache | undefined;
}

function layerResult(
  parameters: LayerParameters,
  h: tf.Tensor3D,
  options: LayerOptions,
): LayerResult {
  const { headWidth, cache, temperature = 1 } = options;
  const [batch, tokens, channels] = h.shape;
  const heads = channels / headWidth;
  let rows = tf.reshape(h, [batch * tokens, channels]) as tf.Tensor2D;

  const { attention: attend, mlp } = parameters;
  const qkv = linear(
    layerNorm(rows, attend.norm.weight, attend.norm.bias),
    attend.qkv.weight,
    attend.qkv.bias,
  );
  // [all q heads | all k heads | all v heads] → three of (batch, heads, tokens, width)
  const [q, k, v] = tf.unstack(
    tf.transpose(tf.reshape(qkv, [batch, tokens, 3, heads, headWidth]), [2, 0, 3, 1, 4]),
  ) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  const keys = cache ? (tf.concat([cache.keys, k], 2) as tf.Tensor4D) : k;
  const values = cache ? (tf.concat([cache.values, v], 2) as tf.Tensor4D) : v;
  const logitScale = 1 / Math.sqrt(headWidth);
  const scale =
    typeof temperature === 'number' ? logitScale / temperature : tf.div(logitScale, temperature);
  const attended = causalAttention(q, keys, values, scale);
  const joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [batch * tokens, channels]);
  rows = tf.add(rows, linear(joined as tf.Tensor2D, attend.proj.weight, attend.proj.bias));

  const hidden = gelu(
    linear(layerNorm(rows, mlp.norm.weight, mlp.norm.bias), mlp.main[0].weight, mlp.main[0].bias),
  );
  rows = tf.add(rows, linear(hidden, mlp.main[2].weight, mlp.main[2].bias));
  return {
    h: tf.reshape(rows, [batch, tokens, channels]) as tf.Tensor3D,
    cache: options.keepCache ? { keys, values } : undefined,
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
