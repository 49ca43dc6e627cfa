/**
 * Functions of tensors that TensorFlow runs as captured graphs.
 *
 * @module @tarflow/graph
 */
export { UserError } from './errors.js';
export { isSetUp, releaseFreeMemory, withoutStderrLines } from './native/addon.js';
export {
  attributeKinds,
  type BindingAttribute,
  chooseOneDnn,
  type NativeBackend,
  nativeBackend,
  types,
  xlaIsAtHand,
} from './native/binding.js';
export {
  type DoubleMatrix,
  doubleProduct,
  type SymmetricEigen,
  sumOfCubes,
  symmetricEigen,
} from './native/double.js';
export { joinProcesses, type Processes } from './processes/processes.js';
export { type StartedProcess, startedProcess } from './processes/start.js';
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
export { keepGraphs } from './run/graph-store.js';
export { Packing } from './run/packing.js';
export type { Leaves, Mode, Outcome, Precision, TensorSpec } from './trace/body.js';
export {
  batchParts,
  inParts,
  partsOf,
  type ThreadUse,
  threadsForParts,
  threadUse,
} from './trace/in-parts.js';
export { repeat, withSlice } from './trace/repeat.js';
export { isTracing, traceInPlace } from './trace/tracing.js';
export { startWebGpu, type WebGpuDevice } from './webgpu.js';
