/** `tarflow/core`: the engine, its tensors, captured programs, random keys and parameter trees. */

export {
  advance,
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
