import { UserError } from '../../src/core/errors.js';
import { type BlockTrace, solveBlock } from '../../src/sampling/solvers/solve-block.js';
import { definitionOf, type Solver } from '../../src/sampling/solvers/solvers.js';
import type { BlockTrajectory } from '../../src/sampling/study/trajectories.js';

/** How an iteration closed in on a block's exact input. The start is iterate 0. */
export interface Convergence {
  /** Per iterate, for each token: the largest error of its numbers over all samples, (T). */
  tokenErrors: Float32Array[];
  /** Per iterate: the root of the mean squared error of all numbers. */
  meanErrors: number[];
  trace: BlockTrace;
}

/**
 * Solves a block and compares every iterate with the exact input. A sample that is done keeps its
 * last error.
 *
 * @param solver one that iterates and shows its iterates: not `sequential`
 * @throws UserError for one that does not
 */
export async function followConvergence(
  { block, conditions, z, x }: BlockTrajectory,
  solver: Solver,
): Promise<Convergence> {
  if (!definitionOf(solver).showsIterates) {
    throw new UserError(
      `The solver '${solver.kind}' shows no iterates to follow`,
      "Take 'jacobi', 'gaussSeidelJacobi' or a published form",
    );
  }
  const [batch, tokens, width] = x.shape;
  const exact = x.dataSync();
  const largest = new Float32Array(batch * tokens);
  const squares = new Float64Array(batch);
  const tokenErrors: Float32Array[] = [];
  const meanErrors: number[] = [];
  const { tokens: found, trace } = await solveBlock(block, z, solver, {
    conditions,
    onIterate(iterate, samples) {
      const values = iterate.dataSync();
      samples.forEach((sample, row) => {
        squares[sample] = 0;
        for (let token = 0; token < tokens; token++) {
          let error = 0;
          for (let i = 0; i < width; i++) {
            const at = token * width + i;
            const difference = Math.abs(
              values[row * tokens * width + at]! - exact[sample * tokens * width + at]!,
            );
            error = Math.max(error, difference);
            squares[sample]! += difference ** 2;
          }
          largest[sample * tokens + token] = error;
        }
      });
      tokenErrors.push(
        Float32Array.from({ length: tokens }, (_, token) => {
          let error = 0;
          for (let i = token; i < largest.length; i += tokens) error = Math.max(error, largest[i]!);
          return error;
        }),
      );
      const sum = squares.reduce((total, square) => total + square, 0);
      meanErrors.push(Math.sqrt(sum / x.size));
    },
  });
  found.dispose();
  return { tokenErrors, meanErrors, trace };
}
