import { type Leaves, tf } from '../../src/core/index.js';
import type { AutoregressiveBlock, Decoder } from '../../src/flow/autoregressive.js';
import type { Gaussian } from '../../src/flow/gaussian.js';

/**
 * A block of T tokens whose first one a start token predicts, made of a block of T + 1 tokens by
 * keeping the first of these at a fixed value.
 */
export function withStartToken(inner: AutoregressiveBlock, value: number): AutoregressiveBlock {
  const startToken = (rows: number): tf.Tensor3D => tf.fill([rows, 1, inner.width], value);
  const tokens = inner.tokens - 1;
  const shifted = (decoder: Decoder): Decoder => ({
    emptyCache: (rows, length) => decoder.emptyCache(rows, length + 1),
    cacheOf: (cache, length) => decoder.cacheOf(cache, length + 1),
    lengthened: (cache, length) => decoder.lengthened(cache, length + 1),
    stepper(conditions) {
      const step = decoder.stepper(conditions);
      return (t, token, cache) => step(tf.add(t, tf.scalar(1, 'int32')) as tf.Scalar, token, cache);
    },
  });
  const decoderOf = inner.decoder?.bind(inner);
  const places = (): tf.Tensor1D => {
    const raster = tf.reshape(tf.range(0, inner.tokens), [1, inner.tokens, 1]) as tf.Tensor3D;
    return tf.cast(tf.reshape(inner.order(raster), [inner.tokens]), 'int32');
  };
  return {
    index: inner.index,
    tokens,
    width: inner.width,
    given: 0,
    cache: { ...inner.cache, lead: 1 },
    cost: inner.cost,
    heads: inner.heads,
    description: ['with a start token', value, inner.description],
    direction: inner.direction,
    parameters: inner.parameters,
    withParameters: (parameters: Leaves) => withStartToken(inner.withParameters(parameters), value),
    order: (x, back) => inner.order(x, back),
    predict(given, { start = 0, cache, ...rest } = {}) {
      const [rows, count] = given.shape;
      if (cache) return inner.predict(given, { ...rest, start: start + 1, cache });
      const first = startToken(rows);
      return inner.predict(count > 0 ? tf.concat([first, given], 1) : first, rest);
    },
    unconditional: (rows) => inner.unconditional(rows),
    outputWeights: () => inner.outputWeights(),
    ...(decoderOf && { decoder: (rows: number) => shifted(decoderOf(rows, places())) }),
  };
}

/** Noise of a block's input (batch, T, D), both in the block's order, token by token. */
export function normalisedTokens(block: AutoregressiveBlock, x: tf.Tensor3D): tf.Tensor3D {
  const parts: tf.Tensor3D[] = [];
  for (let token = 0; token < block.tokens; token++) {
    const before =
      token === 0
        ? tf.tensor3d([], [x.shape[0], 0, block.width])
        : tf.slice(x, [0, 0, 0], [-1, token, -1]);
    const { mean, logScale } = block.predict(before).next as Required<Gaussian>;
    const last = (leaf: tf.Tensor3D): tf.Tensor3D => tf.slice(leaf, [0, token, 0], [-1, 1, -1]);
    const own = tf.slice(x, [0, token, 0], [-1, 1, -1]);
    parts.push(tf.mul(tf.sub(own, last(mean)), tf.exp(tf.neg(last(logScale)))));
  }
  return tf.concat(parts, 1);
}
