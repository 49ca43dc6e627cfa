import { tf } from '../backend/tf.js';
import type { BlockCache } from '../flow/block.js';
import { cacheBytes, disposeCache } from './cache.js';
import type { GuidedBlock } from './guidance.js';

/** What is known of a block's input when a run token by token begins. */
interface Known {
  /** The first tokens of the block's input (batch, known, D), in the block's order; at least one. */
  tokens: tf.Tensor3D;
  /** Keys and values of the first `cached` of them, fewer than are known. */
  cache?: BlockCache | undefined;
  cached?: number;
}

interface SequentialResult {
  /** The first `end` tokens of the block's input (batch, end, D). */
  tokens: tf.Tensor3D;
  /** Keys and values of all of them but the last. */
  cache: BlockCache;
  evaluations: number;
  evaluatedTokens: number;
  cacheBytes: number;
}

/**
 * Solves a block for its input token by token with a key/value cache: x_0 = z_0, then
 * x_{t+1} = z_{t+1}·exp(a) + b with a and b predicted from x_0 … x_t. Exact.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param known the tokens to start from, which stay the caller's; z_0 to start afresh
 * @param end the number of tokens to solve for, more than are known
 * @param onStep awaited after each step with the number of known tokens, to report progress or to
 *   stop by throwing
 * @returns tensors that the caller frees
 */
export async function solveSequentially(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  known: Known,
  end: number,
  onStep?: (known: number) => Promise<void> | void,
): Promise<SequentialResult> {
  const solved: tf.Tensor3D[] = [known.tokens.clone()];
  let cached = known.cached ?? 0;
  let cache = known.cache;
  let [evaluations, evaluatedTokens, bytes] = [0, 0, cacheBytes(cache)];
  const first = tf.slice(known.tokens, [0, cached, 0]);
  try {
    let input = first;
    for (let next = known.tokens.shape[1]; next < end; next++) {
      const step = tf.tidy(() => {
        const {
          a,
          b,
          cache: extended,
        } = guided.predict(input, { start: cached, cache, keepCache: true });
        const last = input.shape[1] - 1;
        const of = (pair: tf.Tensor3D): tf.Tensor3D =>
          last === 0 ? pair : tf.slice(pair, [0, last, 0], [-1, 1, -1]);
        const token = tf.add(tf.mul(tf.slice(z, [0, next, 0], [-1, 1, -1]), tf.exp(of(a))), of(b));
        return { token, extended } as never;
      }) as unknown as { token: tf.Tensor3D; extended: BlockCache };
      const start = cached;
      cached = next;
      if (cache !== known.cache) disposeCache(cache);
      cache = step.extended;
      input = step.token;
      solved.push(step.token);
      evaluations++;
      evaluatedTokens += z.shape[0] * (next - start);
      bytes = Math.max(bytes, cacheBytes(cache));
      await onStep?.(next + 1);
    }
    return {
      tokens: tf.concat(solved, 1),
      cache: cache as BlockCache,
      evaluations,
      evaluatedTokens,
      cacheBytes: bytes,
    };
  } catch (error) {
    if (cache !== known.cache) disposeCache(cache);
    throw error;
  } finally {
    tf.dispose([...solved, first]);
  }
}
