import { entryOf } from '../records.js';
import { tf } from '../tf.js';

/**
 * What lies below TensorFlow.js's kernels: the native binding, which executes one TensorFlow op or
 * one loaded graph on tensors that are known by number.
 */
export interface Binding {
  readonly TF_Version: string;
  createTensor(shape: number[], type: number, values: tf.backend_util.BackendValues): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array | BigInt64Array;
  executeOp(
    op: string,
    attributes: BindingAttribute[],
    inputs: number[],
    outputs: number,
  ): TensorMetadata[];
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(id: number, inputs: number[], feeds: string, fetches: string): TensorMetadata[];
}

export interface TensorMetadata {
  id: number;
  shape: number[];
  dtype: number;
}

/** The binding's numbers for kinds of attributes (TF_AttrType in c_api.h). */
export const attributeKinds = { string: 0, int: 1, float: 2, bool: 3, type: 4, shape: 5 } as const;

type AttributeKinds = typeof attributeKinds;

/** An attribute of an op as the binding takes it: a kind of {@link attributeKinds} and its value. */
export type BindingAttribute = { name: string } & (
  | { type: AttributeKinds['string']; value: string }
  | { type: AttributeKinds['int' | 'float']; value: number | number[] }
  | { type: AttributeKinds['bool']; value: boolean }
  | { type: AttributeKinds['type']; value: number }
  | { type: AttributeKinds['shape']; value: number[] }
);

/** TensorFlow's numbers for element types (types.proto). */
export const types = {
  float32: 1,
  float64: 2,
  int32: 3,
  uint8: 4,
  string: 7,
  complex64: 8,
  int64: 9,
  bool: 10,
  bfloat16: 14,
  resource: 20,
} as const;

/** The parts of TensorFlow.js's native backend that are used here. */
export interface NativeBackend {
  binding: Binding;
  isUsingGpuDevice: boolean;
  executeSingleOutput(op: string, attributes: BindingAttribute[], inputs: tf.Tensor[]): tf.Tensor;
  getInputTensorIds(tensors: tf.Tensor[]): number[];
  createOutputTensor(metadata: TensorMetadata): tf.Tensor;
}

/** The native backend if it is the one that runs, else undefined. */
export function nativeBackend(): NativeBackend | undefined {
  return tf.getBackend() === 'tensorflow' ? (tf.backend() as unknown as NativeBackend) : undefined;
}

/**
 * True where `xla` may be chosen as the default mode: the native engine runs on a processor. On CUDA,
 * XLA needs parts of the toolkit that a graph does not, and it saves little, because the memory of a
 * GPU is fast.
 */
export function xlaIsAtHand(): boolean {
  const native = nativeBackend();
  return native !== undefined && !native.isUsingGpuDevice;
}

/** The number under which the binding knows a tensor. */
export function idOf(backend: NativeBackend, tensor: tf.Tensor): number {
  return entryOf(backend.getInputTensorIds([tensor]), 0);
}

/** Executes an op of one result. */
export function executeOne(
  binding: Pick<Binding, 'executeOp'>,
  op: string,
  attributes: BindingAttribute[],
  inputs: number[],
): TensorMetadata {
  return entryOf(binding.executeOp(op, attributes, inputs, 1), 0);
}

/** Runs `f` while every op of the backend goes through `binding`. */
export function withBinding<R>(backend: NativeBackend, binding: Binding, f: () => R): R {
  const held = backend.binding;
  backend.binding = binding;
  try {
    return f();
  } finally {
    backend.binding = held;
  }
}

/** A copy of the native binding with some functions replaced; the binding itself is read-only. */
export function overridden(binding: Binding, replacement: Partial<Binding>): Binding {
  // Its properties are not enumerable, so a spread would lose them.
  const own = Object.getOwnPropertyNames(binding).map((name) => [
    name,
    binding[name as keyof Binding],
  ]);
  return { ...(Object.fromEntries(own) as Binding), ...replacement };
}

/**
 * Lets TensorFlow compute with oneDNN on every x86 processor; by itself it does so only on those with
 * AVX-512. Call it before TensorFlow is loaded. TF_ENABLE_ONEDNN_OPTS=0 turns oneDNN off.
 */
export function chooseOneDnn(): void {
  const { arch, platform, env } = process;
  if (arch === 'x64' && platform !== 'darwin') env.TF_ENABLE_ONEDNN_OPTS ??= '1';
}

/** True where TensorFlow computes with oneDNN. */
export function computesWithOneDnn(): boolean {
  return process.env.TF_ENABLE_ONEDNN_OPTS === '1';
}
