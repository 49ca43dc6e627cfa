import { chooseOneDnn, withoutStderrLines } from '../src/index.js';
import { type NativeBackend, nativeBackend } from '../src/native/binding.js';
import { tf } from '../src/tf.js';
import { type Operation, valuesRead } from '../src/trace/operations.js';

/** Starts an engine of TensorFlow.js, or goes back to it. */
export async function startEngine(engine: 'tensorflow' | 'cpu' | 'wasm'): Promise<void> {
  // The gradients, which the core alone does not have.
  require('@tarflow/graph/gradients');
  if (engine === 'tensorflow') loadTensorFlow();
  else require(`@tensorflow/tfjs-backend-${engine}`);
  if (!(await tf.setBackend(engine))) throw new Error(`The engine ${engine} did not start.`);
}

function loadTensorFlow(): void {
  // tfjs-node calls two functions that Node.js 23 removed.
  const old: Record<string, unknown> = Object(require('node:util'));
  old.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  old.isArray ??= Array.isArray;
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  chooseOneDnn();
  withoutStderrLines(/InitializeLog|oneDNN custom operations/, () => {
    require('@tensorflow/tfjs-node-gpu');
  });
}

/** The native backend, where it is known to run. */
export function native(): NativeBackend {
  const backend = nativeBackend();
  if (!backend) throw new Error('The native engine does not run.');
  return backend;
}

/** Tensors of TensorFlow.js, tensors of TensorFlow, and loaded graphs. */
export function living(): number[] {
  const { binding } = tf.backend() as unknown as {
    binding: { getNumOfTensors(): number; getNumOfSavedModels(): number };
  };
  return [tf.memory().numTensors, binding.getNumOfTensors(), binding.getNumOfSavedModels()];
}

/** `count` uniform numbers below 1; the same ones for the same seed. */
export function uniform(seed: number, count: number): Float32Array {
  // Mulberry32, a public-domain generator.
  let state = Math.imul(seed + 1, 0x9e3779b9);
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 8) / 2 ** 24;
  });
}

/** `count` standard normal numbers; the same ones for the same seed. */
export function normal(seed: number, count: number): Float32Array {
  const drawn = uniform(seed, 2 * count);
  return Float32Array.from({ length: count }, (_, i) => {
    const [radius = 0, angle = 0] = drawn.subarray(2 * i);
    return Math.sqrt(-2 * Math.log(1 - radius)) * Math.cos(2 * Math.PI * angle);
  });
}

/** A tensor of standard normal numbers. */
export function random(seed: number, shape: number[]): tf.Tensor {
  return tf.tensor(normal(seed, tf.util.sizeFromShape(shape)), shape);
}

/** Whether every operation stands behind those that it takes from or waits for. */
export function areInOrder(operations: readonly Operation[]): boolean {
  const done = new Set<Operation>();
  return operations.every((operation) => {
    const needed = [...valuesRead(operation), ...(operation.after ?? [])];
    const ready = needed.every((one) => one.from !== 'operation' || done.has(one.operation));
    done.add(operation);
    return ready;
  });
}
