export { xlaIsAtHand } from '../native/binding.js';
export { type CompiledCall, callCompiled, disposeCompiled } from './run/call-compiled.js';
export {
  createProgram,
  type Program,
  type ProgramFunction,
  type ProgramFunctions,
  type ProgramOptions,
  tensorSpec,
} from './run/create-program.js';
export type { Feed } from './run/feeds.js';
export type { Mode, Outcome, Precision, TensorSpec } from './trace/body.js';
export { type AdamWRates, type AdamWState, fusedAdamW } from './trace/fused-adamw.js';
export {
  batchParts,
  inParts,
  partsOf,
  type ThreadUse,
  threadsForParts,
  threadUse,
} from './trace/in-parts.js';
export { advance, repeat, withSlice } from './trace/repeat.js';
