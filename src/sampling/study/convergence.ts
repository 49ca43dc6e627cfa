import { classMixture, type Label } from '../../conditions/labels.js';
import { UserError } from '../../core/errors.js';
import { tf, tidy } from '../../core/tf.js';
import { blocksOf } from '../../flow/flow.js';
import type { Model } from '../../flow/model.js';
import { type Guidance, type GuidedBlock, guidedBlock } from '../guidance/guided-block.js';
import { inverse } from '../inverse.js';
import { solveBlock } from '../solvers/solve-block.js';
import type { BlockTrace } from '../solvers/solve-record.js';
import type { Solver } from '../solvers/solver.js';

/** A block with its output and its input, both in the block's order of tokens. */
export interface BlockPassage {
  guided: GuidedBlock;
  /** The block's output (batch, T, D): what a solver is given. */
  z: tf.Tensor3D;
  /** The block's input (batch, T, D), solved token by token: what a solver is to find. */
  x: tf.Tensor3D;
}

/** The passages of a sampling run through all blocks, by index from the data. */
export interface BlockPassages {
  blocks: BlockPassage[];
  dispose(): void;
}

/**
 * Samples sequentially and keeps what each block was given and what it gave, to try other solvers
 * on single blocks.
 *
 * @param z noise (batch, T, D)
 * @returns what the caller disposes of
 * @throws UserError as `inverse` does
 */
export async function blockPassages(
  flow: Model,
  z: tf.Tensor3D,
  { label, guidance }: { label?: Label | undefined; guidance?: Guidance | undefined } = {},
): Promise<BlockPassages> {
  const [batch] = z.shape;
  const solved: tf.Tensor3D[] = [];
  try {
    const images = await inverse(flow, z, {
      label,
      ...(guidance && { guidance }),
      onBlock: (tokens) => solved.push(tokens.clone()),
    });
    images.dispose();
    const classes = classMixture(flow.config, label, batch);
    const blocks = blocksOf(flow).map((block): BlockPassage => {
      const after = block.stack - 1 - block.index;
      const given = solved[after - 1] ?? z;
      const inOrder = (tokens: tf.Tensor3D) => tidy(() => block.order(tokens.clone()));
      return {
        guided: guidedBlock(block, batch, { classes }, guidance),
        z: inOrder(given),
        x: inOrder(solved[after] as tf.Tensor3D),
      };
    });
    return {
      blocks,
      dispose() {
        for (const passage of blocks) {
          passage.guided.dispose();
          tf.dispose([passage.z, passage.x]);
        }
        classes?.dispose();
      },
    };
  } finally {
    tf.dispose(solved);
  }
}

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
 * @param solver one that iterates and shows its iterates: not `sequential`, nor `slidingWindow`
 * @throws UserError for one that does not
 */
export async function followConvergence(
  { guided, z, x }: BlockPassage,
  solver: Solver,
): Promise<Convergence> {
  if (solver.kind === 'sequential' || solver.kind === 'slidingWindow') {
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
  const { tokens: found, trace } = await solveBlock(guided, z, solver, {
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
