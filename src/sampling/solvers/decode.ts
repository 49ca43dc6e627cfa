import { repeat, withSlice } from '@tarflow/graph';
import { tf } from '../../core/tf.js';
import type { Leaves } from '../../core/tree.js';
import type { Decoder } from '../../flow/autoregressive.js';
import { denormalise } from '../../flow/gaussian.js';
import { cacheLeaves, cacheOfLeaves } from '../guidance/cache.js';
import { type GuidedBlock, guidedPrediction } from '../guidance/guided-block.js';
import { keyLengths, type LoopRange, runLoop, solvedTokens } from './compiled-loop.js';

/**
 * Solves a block for its input token by token, as `solveSequentially` does, in one call or a few:
 * the loop over tokens is compiled, and keys and values are written in place (TarFlow, section
 * 3.1).
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param onStep awaited after each call with the number of known tokens, to report progress or to
 *   stop by throwing
 * @param lengths numbers of tokens that steps look at, ascending, the last one T; a call each
 * @param sizes numbers of samples that are solved side by side, all of the batch in sum
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees
 */
export async function decodeSequentially(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  onStep?: (known: number) => Promise<void> | void,
  lengths: readonly number[] = keyLengths(guided, z.shape[0]),
  sizes?: readonly number[],
): Promise<tf.Tensor3D> {
  const tokens = z.shape[1];
  const ends = lengths.map((length) => Math.min(length, tokens - 1));
  const ranges = lengths.map((length, i) => ({
    start: ends[i - 1] ?? 0,
    end: ends[i] as number,
    length,
  }));
  const parts = await runLoop(
    guided,
    z,
    {
      ...{ name: 'decode', description: '', count: 1, ranges, results: ['solved'] },
      rounds: decodeRange,
      onCall: ({ end }) => onStep?.(end + 1),
    },
    sizes,
  );
  try {
    await onStep?.(tokens);
    return solvedTokens(parts);
  } finally {
    tf.dispose(parts);
  }
}

/** Tokens to solve for after `start` and up to `end`. */
interface Range extends LoopRange {
  end: number;
}

/**
 * Some rounds of the loop over tokens.
 *
 * @returns `token` (samples, D), the last one that is known; `solved` (T, samples, D); the cache with
 *   room for `length` tokens
 */
function decodeRange(
  { conditions, guidance }: GuidedBlock,
  decoder: Decoder,
  { start, end, length }: Range,
  inputs: Leaves,
): Leaves {
  const { latents, weights } = inputs as Record<'latents' | 'weights', tf.Tensor>;
  const cache = decoder.lengthened(cacheOfLeaves(inputs), length);
  const names = Object.keys(cache);
  const carried = [inputs.token, inputs.solved, ...Object.values(cache)] as tf.Tensor[];
  const step = decoder.stepper(conditions);
  const results = repeat(start, end, carried, (t, [token, solved, ...leavesOfCache]) => {
    const own = tf.expandDims(token as tf.Tensor2D, 1) as tf.Tensor3D;
    const given = guidance ? tf.concat([own, own], 0) : own;
    const before = Object.fromEntries(names.map((name, i) => [name, leavesOfCache[i]])) as Leaves;
    const both = step(t, given, before);
    const next = tf.add(t, tf.scalar(1, 'int32')) as tf.Scalar;
    const latent = tf.expandDims(tf.gather(latents, next), 1) as tf.Tensor3D;
    const predicted = guidance
      ? guidedPrediction(guidance, both.next, tf.gather(weights, next))
      : both.next;
    const made = tf.squeeze(denormalise(latent, predicted), [1]);
    const longer = withSlice(solved as tf.Tensor3D, 0, next, tf.expandDims(made, 0));
    return [made, longer, ...names.map((name) => both.cache[name] as tf.Tensor)];
  });
  const [token, solved, ...extended] = results as [tf.Tensor, tf.Tensor, ...tf.Tensor[]];
  const after = Object.fromEntries(names.map((name, i) => [name, extended[i] as tf.Tensor]));
  return { token, solved, ...cacheLeaves(after) };
}
