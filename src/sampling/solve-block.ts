import { tf } from '../backend/tf.js';
import { disposeCache } from './cache.js';
import { decodeSequentially, decodingCacheBytes } from './decode.js';
import { solveByIteration } from './gauss-seidel-jacobi.js';
import type { GuidedBlock } from './guidance.js';
import { checkLatents } from './latents.js';
import { solveAsPublished } from './published.js';
import { solveSequentially } from './sequential.js';
import { checkSolver, type Solver } from './solver.js';
import { type BlockTrace, emptyRecord, type SolveHooks, type SolveRecord } from './trace.js';

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
  checkSolver(guided.block.config, solver);
  checkLatents(guided.block.config, z);
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
    case 'publishedGaussSeidelJacobi':
      return solveAsPublished(guided, z, solver, hooks);
  }
}

async function solveWhole(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  hooks: SolveHooks,
): Promise<{ tokens: tf.Tensor3D; record: SolveRecord }> {
  const [batch, end] = z.shape;
  if (guided.execution.loop !== 'eager') {
    const tokens = await decodeSequentially(guided, z, hooks.onStep);
    const record = {
      evaluations: end - 1,
      evaluatedTokens: batch * (end - 1),
      cacheBytes: decodingCacheBytes(guided, batch),
    };
    return { tokens, record: { ...emptyRecord(batch), ...record } };
  }
  const first = tf.slice(z, [0, 0, 0], [-1, 1, -1]);
  try {
    const result = await solveSequentially(guided, z, { tokens: first }, end, hooks.onStep);
    const { tokens, cache, ...record } = result;
    disposeCache(cache);
    return { tokens, record: { ...emptyRecord(batch), ...record } };
  } finally {
    first.dispose();
  }
}
