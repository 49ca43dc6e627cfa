/**
 * The engine, its tensors, captured programs, random keys and parameter trees.
 *
 * @example
 * ```ts
 * import { normal, randomKey, startEngine, tf } from 'tarflow/core';
 *
 * await startEngine();
 * const noise = tf.tensor2d(normal(randomKey(7), 6), [2, 3]);
 * console.log(noise.shape); // the same six numbers on every machine
 * ```
 *
 * @module tarflow/core
 */

export {
  type CompiledCall,
  callCompiled,
  createProgram,
  disposeCompiled,
  type Feed,
  type Mode,
  type Precision,
  type Program,
  type ProgramFunction,
  type ProgramOptions,
  repeat,
  type TensorSpec,
  tensorSpec,
  withSlice,
} from '@tarflow/graph';
export {
  currentEngine,
  type EngineName,
  type EngineReport,
  startEngine,
} from './engine.js';
export { UserError } from './errors.js';
export {
  foldIn,
  integers,
  normal,
  permutation,
  type RandomKey,
  randomKey,
  uniform,
} from './random.js';
export { tf, tidy } from './tf.js';
export {
  disposeTree,
  type Leaves,
  leaves,
  mapTree,
  treeSize,
  valueAndGradient,
  withLeaves,
} from './tree.js';
