import { tf, tidy } from '../../core/tf.js';
import { solveBlock } from '../solvers/solve-block.js';
import type { Solver } from '../solvers/solver.js';
import type { BlockPassage } from './convergence.js';

/** What was seen of a Jacobi iteration that has to end after a known number of iterations. */
export interface GuaranteeCheck {
  /** The first iteration after which no number was further from the exact one than `rounding`. */
  close: number;
  /** The largest error of a token that has to be exact, over all iterations. */
  error: number;
}

/**
 * Iterates on a block to the end and compares each token with the exact one from the iteration on
 * after which it has to be exact: after k iterations the first k + 1 tokens where the first token is given,
 * and the first k where it, too, starts at zeros.
 *
 * @param solver a Jacobi iteration with tolerance 0
 * @param samples how many of the passage's samples are solved, the first ones
 * @param promised the iterations after which all T tokens have to be exact: T − 1, or T
 * @param rounding what an error of float32 may be
 */
export async function checkGuarantee(
  { guided, z, x }: BlockPassage,
  solver: Solver,
  { samples, promised, rounding }: { samples: number; promised: number; rounding: number },
): Promise<GuaranteeCheck> {
  const tokens = x.shape[1];
  const some = guided.select(Array.from({ length: samples }, (_, i) => i));
  const first = (all: tf.Tensor3D): tf.Tensor3D =>
    tf.slice(all, [0, 0, 0], [samples, -1, -1]) as tf.Tensor3D;
  const [given, exact] = [first(z), first(x)];
  const seen = { iterates: 0, close: 0, error: 0 };
  try {
    const { tokens: found } = await solveBlock(some, given, solver, {
      onIterate(iterate, rows) {
        // The start is iterate 0: from z the first token is exact there, from zeros none.
        const settled = Math.min(seen.iterates + tokens - promised, tokens);
        const { all, due } = errorsAt(iterate, exact, rows, settled);
        seen.error = Math.max(seen.error, due);
        seen.iterates++;
        if (!(all <= rounding)) seen.close = seen.iterates;
      },
    });
    const left = tidy(() => tf.max(tf.abs(tf.sub(found, exact))).dataSync()[0] as number);
    found.dispose();
    return { close: seen.close, error: Math.max(seen.error, left) };
  } finally {
    some.dispose();
    tf.dispose([given, exact]);
  }
}

/** Largest errors of an iterate: of all tokens, and of the first `settled` ones. */
function errorsAt(
  iterate: tf.Tensor3D,
  exact: tf.Tensor3D,
  rows: readonly number[],
  settled: number,
): { all: number; due: number } {
  return tidy(() => {
    const target = tf.gather(exact, tf.tensor1d([...rows], 'int32'));
    const off = tf.abs(tf.sub(iterate, target));
    const all = tf.max(off).dataSync()[0] as number;
    if (settled === 0) return { all, due: 0 };
    return {
      all,
      due: tf.max(tf.slice(off, [0, 0, 0], [-1, settled, -1])).dataSync()[0] as number,
    };
  });
}
