export { xlaIsAtHand } from '../native/binding.js';
export { type CompiledCall, callCompiled, disposeCompiled } from './run/call-compiled.js';
export {
  createProgram,
  type Feed,
  type Mode,
  type Program,
  type ProgramFunction,
  type ProgramFunctions,
  type ProgramOptions,
  tensorSpec,
} from './run/create-program.js';
export { type AdamWOptions, adamWUpdate } from './trace/adamw-update.js';
export { batchParts, inParts, partsOf, threadsForParts } from './trace/in-parts.js';
export { repeat, withSlice } from './trace/repeat.js';
export type { Outcome, Precision, TensorSpec } from './trace/tracing.js';
