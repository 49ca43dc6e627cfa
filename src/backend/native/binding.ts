import { tf } from '../tf.js';

/**
 * What is below TensorFlow.js's kernels: the native binding, which executes one TensorFlow op, or
 * one loaded graph, on tensors known by number.
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

/** An attribute of an op as the binding takes it: a kind of {@link attributeKinds} and its value. */
export interface BindingAttribute {
  name: string;
  type: number;
  value: boolean | number | object | string | number[];
}

/** The binding's numbers for kinds of attributes (TF_AttrType in c_api.h). */
export const attributeKinds = { string: 0, int: 1, float: 2, bool: 3, type: 4, shape: 5 } as const;

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

/** The native backend of TensorFlow.js, as far as programs use it. */
export interface NativeBackend {
  binding: Binding;
  isUsingGpuDevice: boolean;
  getInputTensorIds(tensors: tf.Tensor[]): number[];
  createOutputTensor(metadata: TensorMetadata): tf.Tensor;
}

/** The native backend when it is the one that runs, else undefined. */
export function nativeBackend(): NativeBackend | undefined {
  return tf.getBackend() === 'tensorflow' ? (tf.backend() as unknown as NativeBackend) : undefined;
}

/**
 * True where a mode that is chosen, not asked for, may be `xla`: the native engine runs, on a
 * processor. On CUDA, XLA needs parts of it that a graph does not, and saves little, since a GPU's
 * memory is fast.
 */
export function xlaIsAtHand(): boolean {
  const native = nativeBackend();
  return native !== undefined && !native.isUsingGpuDevice;
}

/** Runs `f` with every op of the backend going through `binding`. */
export function withBinding<R>(backend: NativeBackend, binding: Binding, f: () => R): R {
  const held = backend.binding;
  backend.binding = binding;
  try {
    return f();
  } finally {
    backend.binding = held;
  }
}

/** A copy of the native binding, whose own properties cannot be replaced, with some replaced. */
export function overridden(binding: Binding, replacement: Partial<Binding>): Binding {
  const copy: Record<string, unknown> = {};
  for (const name of Object.getOwnPropertyNames(binding)) {
    copy[name] = binding[name as keyof Binding];
  }
  return Object.assign(copy, replacement) as unknown as Binding;
}
