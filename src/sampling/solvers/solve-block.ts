import { UserError } from '../../core/errors.js';
import type { tf } from '../../core/tf.js';
import type { AutoregressiveBlock } from '../../flow/autoregressive.js';
import type { SolveContext, SolveRecord } from './definition.js';
import { plainExecution } from './execution.js';
import { checkSolver, definitionOf, type Solver } from './solvers.js';

/** How a block of a flow was solved, with what, and how long it took. */
export interface BlockTrace extends SolveRecord {
  /** The block, by index from the data. */
  block: number;
  solver: Solver;
  milliseconds: number;
}

/** A block's input (batch, T, D), in the block's order, which the caller frees, and its record. */
interface Solved {
  tokens: tf.Tensor3D;
  trace: BlockTrace;
}

/**
 * Solves a block for its input with any solver.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param context what the block is told (a guided one as `withGuidance` says; default nothing), how it
 *   is computed (default op by op in float32, also on the native engine), and what is called meanwhile
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees, and how
 *   it was found
 * @throws UserError where the solver or z does not fit the model, and where z is not finite
 */
export async function solveBlock(
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  solver: Solver,
  context: Partial<SolveContext> = {},
): Promise<Solved> {
  checkSolver(block, solver);
  checkBlockOutput(block, z);
  return solveUnchecked(block, z, solver, {
    conditions: {},
    execution: plainExecution,
    ...context,
  });
}

/** {@link solveBlock} for what was checked, or what a diverging model made of it. */
export async function solveUnchecked(
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  solver: Solver,
  context: SolveContext,
): Promise<Solved> {
  const started = performance.now();
  const { tokens, record } = await definitionOf(solver).solve(block, z, solver, context);
  const milliseconds = performance.now() - started;
  return { tokens, trace: { block: block.index, solver, milliseconds, ...record } };
}

/** Throws where an output's shape is not the block's, or a number is not finite. */
function checkBlockOutput({ tokens, width, index }: AutoregressiveBlock, z: tf.Tensor): void {
  const sample = brokenSample([tokens, width], z, 'block');
  if (sample === undefined) return;
  throw new UserError(
    `The output of block ${index} is not finite in sample ${sample}`,
    'Where the noise is finite, the weights of the model may not be: train it again, or take a ' +
      'checkpoint of an earlier step',
  );
}

/**
 * The first sample that has a number that is not finite.
 * @throws UserError for another shape than (batch, T, D)
 */
export function brokenSample(
  [tokens, width]: readonly [number, number],
  z: tf.Tensor,
  what: string,
): number | undefined {
  if (z.rank !== 3 || z.shape[1] !== tokens || z.shape[2] !== width) {
    throw new UserError(
      `Latents of shape (${z.shape.join(', ')}) came`,
      `This ${what} takes (batch, ${tokens}, ${width})`,
    );
  }
  return firstNotFinite(z);
}

/** The first sample, along the first axis, that has a number that is not finite. */
export function firstNotFinite(x: tf.Tensor): number | undefined {
  const broken = x.dataSync().findIndex((value) => !Number.isFinite(value));
  return broken < 0 ? undefined : Math.floor((broken * (x.shape[0] ?? 1)) / x.size);
}

/** What iterations did not bring to an end by themselves, as numbers of segments of samples. */
export interface Shortfalls {
  /** Per block, by index from the data: those solved token by token. */
  fallbacks: number[];
  /** Per block: those left with a change above the tolerance. */
  unconverged: number[];
}

/** No shortfalls yet. */
export function noShortfalls(blocks: number): Shortfalls {
  const none = (): number[] => new Array<number>(blocks).fill(0);
  return { fallbacks: none(), unconverged: none() };
}

/** Adds those of a solved block to some shortfalls. */
export function addShortfalls({ fallbacks, unconverged }: Shortfalls, trace: BlockTrace): void {
  fallbacks[trace.block]! += trace.fallbacks.length;
  unconverged[trace.block]! += trace.unconverged.length;
}
