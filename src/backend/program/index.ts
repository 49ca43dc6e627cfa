export { type AdamWOptions, adamWUpdate } from './adamw.js';
export {
  createProgram,
  type Feed,
  type Mode,
  type Program,
  type ProgramFunction,
  type ProgramOptions,
  tensorSpec,
} from './program.js';
export type { Precision, TensorSpec } from './trace.js';
