import { type Acceleration, strategyRow } from './acceleration.js';

/** When an iteration pays: the evaluations that take as long as solving a block sequentially. */
export interface BreakEven {
  /** n* = t_s / t_e: iterating fewer times than this is faster than the sequential loop. */
  star: number;
  /** Jacobi's iterations of a block, mean over the blocks. */
  mean: number;
  /** The fewest of any block. */
  fewest: number;
  /** The most of any block. */
  most: number;
}

/**
 * The break-even count of evaluations per block, from the times of sequential sampling and of Jacobi
 * iteration in all blocks.
 *
 * @param sequential the time of sequential sampling, in any unit
 * @param jacobi the time of Jacobi iteration in all blocks, in the same unit
 * @param iterations of Jacobi iteration, block by block
 */
export function breakEven(
  sequential: number,
  jacobi: number,
  iterations: readonly number[],
): BreakEven {
  const evaluations = iterations.reduce((sum, count) => sum + count, 0);
  const blockTime = sequential / iterations.length;
  return {
    star: blockTime / (jacobi / evaluations),
    mean: evaluations / iterations.length,
    fewest: Math.min(...iterations),
    most: Math.max(...iterations),
  };
}

/**
 * The break-even count of an acceleration table, from its rows `sequential` and `Jacobi`.
 * @throws RangeError where it has no such rows
 */
export function breakEvenOf(table: Pick<Acceleration, 'rows'>): BreakEven {
  const [sequential, jacobi] = [strategyRow(table, 'sequential'), strategyRow(table, 'Jacobi')];
  return breakEven(sequential.milliseconds, jacobi.milliseconds, jacobi.iterations);
}
