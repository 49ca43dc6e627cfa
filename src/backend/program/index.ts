export { type AdamWRates, type AdamWState, fusedAdamW } from './adamw.js';
export { type CompiledCall, callCompiled, disposeCompiled } from './compiled.js';
export { batchParts, inParts, partsOf, threadsForParts } from './in-parts.js';
export { repeat, withSlice } from './loop.js';
export {
  createProgram,
  type Feed,
  type Mode,
  type Program,
  type ProgramFunction,
  type ProgramFunctions,
  type ProgramOptions,
  tensorSpec,
} from './program.js';
export { xlaIsAtHand } from './tensorflow.js';
export type { Outcome, Precision, TensorSpec } from './trace.js';
