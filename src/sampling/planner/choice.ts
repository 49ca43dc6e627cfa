import { at } from '../../core/errors.js';
import type { Solver } from '../solvers/solvers.js';

/** What a solver cost in a block, and how far its result was from the exact one. */
export interface Candidate {
  solver: Solver;
  /** The least of its times. */
  milliseconds: number;
  /**
   * Largest difference of the block's input from the sequential one's, as a share of the data range;
   * of the sequential solver 0.
   */
  error: number;
  /** Jacobi iterations over all segments; 0 where tokens were solved one after the other. */
  iterations: number;
}

/** A gain in time below this share is noise, and not worth an error. */
const worthwhile = 0.03;

/** The error of a solver per block, of the whole, as a share of the data range. */
type ErrorMeasure = (solvers: readonly Solver[]) => Promise<number>;

/** Solvers, and the largest error of all images that were checked, as a share of the data range. */
interface Found {
  solvers: Solver[];
  error: number;
}

/**
 * The fastest solver of each block with which the whole stays within half the tolerance; none where all
 * are sequential. Errors of one block are carried and may grow in the next ones, so an equal share of the
 * tolerance may be too much for each.
 *
 * @param blocks candidates of each block, the sequential one among them
 */
export async function solversWithin(
  blocks: readonly (readonly Candidate[])[],
  errorOf: ErrorMeasure,
  tolerance: number,
): Promise<Found | undefined> {
  for (let budget = tolerance; budget > tolerance * 5e-4; budget /= 4) {
    const chosen = blocks.map((candidates) => fastestWithin(candidates, budget));
    if (chosen.every(({ solver }) => solver.kind === 'sequential')) return undefined;
    // Where graphs are recorded, this warms them, too.
    const error = await errorOf(chosen.map(({ solver }) => solver));
    if (error <= tolerance / 2) return loosened(blocks, chosen, error, errorOf, tolerance / 4);
  }
  return undefined;
}

/**
 * The fastest candidate whose error is within a budget; of those that are as fast but for the noise of
 * timing the most exact one.
 */
export function fastestWithin(candidates: readonly Candidate[], budget: number): Candidate {
  const fitting = candidates.filter(({ error }) => error <= budget);
  const least = Math.min(...fitting.map(({ milliseconds }) => milliseconds));
  const fast = fitting.filter(({ milliseconds }) => (1 - worthwhile) * milliseconds <= least);
  return at(byError(fast), 0);
}

/**
 * Gives blocks faster solvers as long as the error of the whole stays within a bound: equal shares of
 * an error are not what costs least. One block after the other, those first that could gain most.
 */
export async function loosened(
  blocks: readonly (readonly Candidate[])[],
  from: readonly Candidate[],
  error: number,
  errorOf: ErrorMeasure,
  bound: number,
): Promise<Found> {
  const chosen = [...from];
  let found: Found = { solvers: chosen.map(({ solver }) => solver), error };
  const total = chosen.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const gain = (block: number, other: Candidate) =>
    at(chosen, block).milliseconds - other.milliseconds;
  const most = blocks.map((candidates, block) =>
    Math.max(...candidates.map((candidate) => gain(block, candidate))),
  );
  for (const block of [...blocks.keys()].sort((a, b) => at(most, b) - at(most, a))) {
    for (;;) {
      const [next] = byError(
        at(blocks, block).filter((other) => gain(block, other) > worthwhile * total),
      );
      if (!next) break;
      const solvers = found.solvers.map((own, other) => (other === block ? next.solver : own));
      const changed = await errorOf(solvers);
      if (changed > bound) break;
      found = { solvers, error: changed };
      chosen[block] = next;
    }
  }
  return found;
}

function byError(candidates: readonly Candidate[]): Candidate[] {
  return [...candidates].sort((a, b) => a.error - b.error);
}
