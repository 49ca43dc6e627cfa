import { UserError } from '../errors.js';
import { mapValues } from '../records.js';
import { tf } from '../tf.js';
import { described, type Functions, type TensorSpec } from '../trace/body.js';

/** What can be fed to an input: a tensor, its numbers in row-major order, or a single number. */
export type Feed = tf.Tensor | Float32Array | Int32Array | Uint8Array | number;

const arrays = { float32: Float32Array, int32: Int32Array, bool: Uint8Array } as const;

/**
 * Calls `f` with the tensors of a function's inputs, in their order. Those that are made from numbers
 * are freed afterwards.
 *
 * @throws UserError for an input that is missing, unknown, or of another shape or type
 */
export function withFeeds<R>(
  name: string,
  inputs: Record<string, TensorSpec>,
  feeds: Record<string, Feed>,
  f: (tensors: tf.Tensor[]) => R,
): R {
  if (typeof feeds !== 'object' || feeds === null) {
    throw new UserError(`${name} got ${described(feeds)}`, `Expected ${list(inputs)} by name`);
  }
  const unknown = Object.keys(feeds).find((key) => !Object.hasOwn(inputs, key));
  if (unknown !== undefined) {
    throw new UserError(`${name} takes no input ${unknown}`, `Expected ${list(inputs)}`);
  }
  const made: tf.Tensor[] = [];
  try {
    const tensors = Object.entries(inputs).map(([key, spec]) => {
      const feed = feeds[key];
      if (feed instanceof tf.Tensor) return checkedTensor(`${name}: ${key}`, feed, spec);
      const tensor = tensorOf(`${name}: ${key}`, feed, spec);
      made.push(tensor);
      return tensor;
    });
    return f(tensors);
  } finally {
    tf.dispose(made);
  }
}

/**
 * The tensor itself.
 * @throws UserError for one that is disposed, or of another shape or type
 */
export function checkedTensor(name: string, tensor: tf.Tensor, spec: TensorSpec): tf.Tensor {
  if (tensor.isDisposed) throw new UserError(`${name} got a disposed tensor`, expected(spec));
  if (tensor.dtype !== spec.dtype || !tf.util.arraysEqual(tensor.shape, [...spec.shape])) {
    throw new UserError(`${name} got ${tensor.dtype} (${tensor.shape})`, expected(spec));
  }
  return tensor;
}

/** What variables are, whose types {@link checkDeclarations} has checked. */
export function specsOf(variables: Record<string, tf.Tensor>): Record<string, TensorSpec> {
  return mapValues(variables, ({ shape, dtype }) => ({
    shape,
    dtype: dtype as TensorSpec['dtype'],
  }));
}

/** @throws UserError for names, shapes and types that a program cannot have */
export function checkDeclarations(
  variables: Record<string, tf.Tensor>,
  functions: Functions,
): void {
  for (const [name, { inputs }] of Object.entries(functions)) {
    // The name becomes part of TensorFlow's.
    if (!/^[A-Za-z]\w*$/.test(name)) {
      throw new UserError(`A function is named '${name}'`, 'Expected letters and digits');
    }
    for (const [key, { dtype, shape }] of Object.entries(inputs)) {
      checkType(`The input ${key} of ${name}`, dtype);
      if (shape.every((size) => Number.isInteger(size) && size >= 0)) continue;
      throw new UserError(
        `The input ${key} of ${name} has shape (${shape})`,
        'Expected whole numbers of at least 0: a function has fixed shapes',
      );
    }
  }
  for (const [name, { dtype }] of Object.entries(variables)) {
    checkType(`The variable ${name}`, dtype);
  }
}

/** The names in a record, for a message. */
export function list(record: Record<string, unknown>): string {
  return Object.keys(record).join(', ') || 'none';
}

function checkType(what: string, dtype: string): void {
  if (Object.hasOwn(arrays, dtype)) return;
  throw new UserError(`${what} has type ${dtype}`, 'Expected float32, int32 or bool');
}

function tensorOf(
  name: string,
  feed: Exclude<Feed, tf.Tensor> | undefined,
  spec: TensorSpec,
): tf.Tensor {
  if (feed === undefined) throw new UserError(`${name} is missing`, expected(spec));
  const { dtype } = spec;
  const shape = [...spec.shape];
  if (typeof feed === 'number') {
    if (shape.length > 0) throw new UserError(`${name} got a number`, expected(spec));
    if (dtype === 'int32' && (feed | 0) !== feed) {
      throw new UserError(`${name} got ${feed}`, 'Expected a whole number of 32 bits');
    }
    return tf.scalar(feed, dtype);
  }
  if (!(feed instanceof arrays[dtype]) || feed.length !== tf.util.sizeFromShape(shape)) {
    throw new UserError(`${name} got ${described(feed)}`, expected(spec));
  }
  // A copy, because the engine would share the memory of the array.
  return tf.tensor(feed.slice(), shape, dtype);
}

function expected({ dtype, shape }: TensorSpec): string {
  return `Expected ${dtype} (${shape})`;
}
