import { tf } from '../../core/tf.js';
import { type GuidedBlock, plainly } from '../guidance/guided-block.js';
import { checkBlockOutput } from '../guidance/latents.js';
import { loopCacheBytes } from './compiled-loop.js';
import { decodeSequentially } from './decode.js';
import { solveByIteration } from './gauss-seidel-jacobi.js';
import { solveAsPublished } from './published.js';
import { givenTokens, solveSequentially } from './sequential.js';
import { solveByWindow } from './sliding-window.js';
import { type BlockTrace, emptyRecord, type SolveHooks, type SolveRecord } from './solve-record.js';
import { checkSolver, type Solver } from './solver.js';

/** A block's input (batch, T, D), in the block's order, which the caller frees, and its record. */
interface Solved {
  tokens: tf.Tensor3D;
  trace: BlockTrace;
}

/**
 * Solves a block for its input with any solver.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees, and how
 *   it was found
 * @throws UserError where the solver or z does not fit the model, and where z is not finite
 */
export async function solveBlock(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  solver: Solver,
  hooks: SolveHooks = {},
): Promise<Solved> {
  checkSolver(guided.block, solver);
  checkBlockOutput(guided.block, z);
  return solveUnchecked(guided, z, solver, hooks);
}

/** {@link solveBlock} for what was checked, or what a diverging model made of it. */
export async function solveUnchecked(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  solver: Solver,
  hooks: SolveHooks,
): Promise<Solved> {
  const started = performance.now();
  const { tokens, record } = await solve(guided, z, solver, hooks);
  const milliseconds = performance.now() - started;
  return { tokens, trace: { block: guided.block.index, solver, milliseconds, ...record } };
}

function solve(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  solver: Solver,
  hooks: SolveHooks,
): Promise<{ tokens: tf.Tensor3D; record: SolveRecord }> {
  switch (solver.kind) {
    case 'sequential':
      return solveWhole(guided, z, hooks);
    case 'jacobi':
      return solveByIteration(guided, z, { ...solver, segments: 1 }, hooks);
    case 'gaussSeidelJacobi':
      return solveByIteration(guided, z, solver, hooks);
    case 'slidingWindow':
      return solveByWindow(guided, z, solver, hooks);
    case 'publishedGaussSeidelJacobi':
    case 'publishedBlockwiseJacobi':
      return solveAsPublished(guided, z, solver, hooks);
  }
}

async function solveWhole(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  hooks: SolveHooks,
): Promise<{ tokens: tf.Tensor3D; record: SolveRecord }> {
  const [batch, end] = z.shape;
  const { block, execution } = guided;
  if (block.decoder && execution.loop !== 'eager') {
    const tokens = await decodeSequentially(guided, z, hooks.onStep);
    const record = {
      evaluations: end - block.given,
      evaluatedTokens: batch * (end - 1),
      cacheBytes: loopCacheBytes(guided, batch),
    };
    return { tokens, record: { ...emptyRecord(batch), ...record } };
  }
  const first = givenTokens(block, z);
  // A token more is another shape: graphs are for loops.
  const plain = block.decoder ? guided : plainly(guided);
  try {
    const result = await solveSequentially(plain, z, { tokens: first }, end, hooks.onStep);
    const { tokens, cache, ...record } = result;
    if (cache) tf.dispose(cache);
    return { tokens, record: { ...emptyRecord(batch), ...record } };
  } finally {
    first.dispose();
  }
}
