import { tf, tidy } from '../../../core/tf.js';
import {
  type AutoregressiveBlock,
  type Cache,
  firstPredicted,
  type Prediction,
} from '../../../flow/autoregressive.js';
import { denormalise } from '../../../flow/gaussian.js';
import type { Start } from '../definition.js';
import { givenTokens } from '../sequential/steps.js';

/**
 * What is compared with the tolerance: the largest change of a number between two iterates
 * (Zhang et al. 2025, arXiv 2505.24791, algorithm 1), or the Frobenius norm of the change divided by the
 * token width (the code of Liu and Qin 2025, arXiv 2505.12849). Both are of a token and all before it that
 * are not final, sample by sample. The published form takes them over a segment of the whole batch, and
 * divides the norm by the number of samples, too.
 */
export type ChangeNorm = 'largest' | 'frobenius';

/** The first iterate from the block's output, as a new tensor. */
export function startingTokens(
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  start: Start | 'allZeros',
): tf.Tensor3D {
  if (start === 'latent') return z.clone();
  return tidy(() => {
    const zeros = tf.zerosLike(z);
    if (start === 'allZeros' || block.given === 0) return zeros;
    return tf.concat([givenTokens(block, z), tf.slice(zeros, [0, block.given, 0])], 1);
  });
}

/** Tokens that an iteration evaluates: those from `first`, before which the cache knows all, to `end`. */
export interface Stretch {
  first: number;
  end: number;
  cache?: Cache | undefined;
}

/** What is iterated on, all (samples, T, D) in the block's order. */
export type Iterate = {
  /** The iterate. */
  x: tf.Tensor3D;
  /** The block's output. */
  z: tf.Tensor3D;
  /** True (samples, tokens, 1) where a token of the stretch is final. */
  final: tf.Tensor3D;
};

/**
 * The update of Jacobi iteration: every token of a stretch that is not final becomes exp(a)·z + b, with a
 * and b from the iterate's tokens before it. Call it inside `tidy`: it leaves intermediate tensors.
 *
 * @param evaluate predicts from tokens (samples, n, D) that begin with the stretch
 * @returns the next iterate `x`; the `size` of each token's change (samples, tokens), in the norm; and
 *   the cache of the tokens evaluated, as the iterate had them
 */
export function jacobiUpdate(
  block: AutoregressiveBlock,
  { x, z, final }: Iterate,
  { first, end, cache }: Stretch,
  norm: ChangeNorm,
  evaluate: (tokens: tf.Tensor3D) => Prediction,
): { x: tf.Tensor3D; size: tf.Tensor2D; cache: Cache } {
  const lowest = firstPredicted(block, { start: first, cache });
  const { next, cache: extended = {} } = evaluate(between(x, first, end - 1));
  const before = between(x, lowest, end);
  const after = tf.where(final, before, denormalise(between(z, lowest, end), next));
  const size = changeOf(tf.sub(after, before), norm);
  const parts = [after];
  if (lowest > 0) parts.unshift(between(x, 0, lowest));
  if (end < block.tokens) parts.push(between(x, end, block.tokens));
  return { x: tf.concat(parts, 1), size, cache: extended };
}

/** Tokens `from` … `to` − 1. */
export function between(tokens: tf.Tensor3D, from: number, to: number): tf.Tensor3D {
  return tf.slice(tokens, [0, from, 0], [-1, to - from, -1]);
}

/** The size of each token's change: its largest number, or the sum of squares. */
function changeOf(change: tf.Tensor3D, norm: ChangeNorm): tf.Tensor2D {
  if (norm === 'frobenius') return tf.sum(tf.square(change), 2);
  // The product carries what is not finite past a maximum that may drop it.
  return tf.add(tf.max(tf.abs(change), 2), tf.mul(tf.sum(change, 2), 0));
}

/**
 * How far a sample's tokens are final after an iteration: the first that was open, since all before it
 * were final, and as many behind it as changed by at most the tolerance, together with all before them.
 *
 * @param sizes of the changes of its open tokens, see {@link jacobiUpdate}
 * @param width numbers in a token
 * @returns the open tokens that are final now, and the change of all of them in the norm, not finite
 *   where a number of them is not
 */
export function acceptedTokens(
  sizes: ArrayLike<number>,
  tolerance: number,
  norm: ChangeNorm,
  width: number,
): { accepted: number; change: number } {
  let [total, change, accepted] = [0, 0, 0];
  for (let i = 0; i < sizes.length; i++) {
    const size = sizes[i] as number;
    total = norm === 'largest' ? Math.max(total, size) : total + size;
    change = norm === 'largest' ? total : Math.sqrt(total) / width;
    if (i === 0 || change <= tolerance) accepted = i + 1;
  }
  return { accepted, change };
}
