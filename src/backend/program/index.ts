export { type AdamWOptions, adamWUpdate } from './adamw.js';
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
export type { Outcome, Precision, TensorSpec } from './trace.js';
