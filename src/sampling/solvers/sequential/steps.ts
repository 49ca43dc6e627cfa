import { tf, tidy } from '../../../core/tf.js';
import type { AutoregressiveBlock, Cache } from '../../../flow/autoregressive.js';
import { cacheBytes } from '../../../flow/cache.js';
import { denormalise, type Gaussian } from '../../../flow/gaussian.js';
import type { SolveContext } from '../definition.js';
import { predictBy } from '../execution.js';

/** The first tokens of a block's input, which its output z tells as they are: one, or none. */
export function givenTokens({ given, width }: AutoregressiveBlock, z: tf.Tensor3D): tf.Tensor3D {
  if (given === 0) return tf.tensor3d([], [z.shape[0], 0, width]);
  return tf.slice(z, [0, 0, 0], [-1, given, -1]);
}

/** The prediction for the last of some tokens. */
export function lastOf({ mean, logScale }: Gaussian): Gaussian {
  const last = mean.shape[1] - 1;
  const of = (leaf: tf.Tensor3D): tf.Tensor3D =>
    last === 0 ? leaf : tf.slice(leaf, [0, last, 0], [-1, 1, -1]);
  return { mean: of(mean), logScale: logScale && of(logScale) };
}

/** What is known of a block's input when a run token by token begins. */
interface Known {
  /** The first tokens of the block's input (batch, known, D), in the block's order. */
  tokens: tf.Tensor3D;
  /** Keys and values of the first `cached` of them, fewer than are known. */
  cache?: Cache | undefined;
  cached?: number;
}

interface SequentialResult {
  /** The first `end` tokens of the block's input (batch, end, D). */
  tokens: tf.Tensor3D;
  /** What the block keeps of all of them but the last; absent where that is nothing. */
  cache: Cache | undefined;
  evaluations: number;
  evaluatedTokens: number;
  cacheBytes: number;
}

/**
 * Solves a block for its input token by token with a cache: x_t = exp(a)·z_t + b with a and b
 * predicted from the tokens before. Exact.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param known the tokens to start from, which stay the caller's; see `givenTokens` to start afresh
 * @param end the number of tokens to solve for, more than are known
 * @returns tensors that the caller frees
 */
export async function solveSequentially(
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  known: Known,
  end: number,
  { conditions, execution, onStep }: SolveContext,
): Promise<SequentialResult> {
  const [batch, begun] = known.tokens.shape;
  const solved: tf.Tensor3D[] = begun > 0 ? [known.tokens.clone()] : [];
  let cached = known.cached ?? 0;
  let cache = known.cache;
  let [evaluations, evaluatedTokens, bytes] = [0, 0, cacheBytes(cache)];
  const first = begun > cached ? tf.slice(known.tokens, [0, cached, 0]) : known.tokens.clone();
  const freeCache = (): void => {
    if (cache && cache !== known.cache) tf.dispose(cache);
  };
  try {
    let input = first;
    for (let next = begun; next < end; next++) {
      const step = tidy(() => {
        const place = { start: cached, cache, conditions, keepCache: true };
        const { next: predicted, cache: extended } = predictBy(execution, block, input, place);
        const goal = tf.slice(z, [0, next, 0], [-1, 1, -1]);
        return { token: denormalise(goal, lastOf(predicted)), extended };
      });
      evaluatedTokens += batch * (next - cached);
      cached = next;
      freeCache();
      cache = step.extended;
      input = step.token;
      solved.push(step.token);
      evaluations++;
      bytes = Math.max(bytes, cacheBytes(cache));
      await onStep?.(next + 1);
    }
    return { tokens: tf.concat(solved, 1), cache, evaluations, evaluatedTokens, cacheBytes: bytes };
  } catch (error) {
    freeCache();
    throw error;
  } finally {
    tf.dispose([...solved, first]);
  }
}
