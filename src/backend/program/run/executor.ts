import type { tf } from '../../tf.js';
import type { Body, TensorSpec } from '../trace/tracing.js';

/** A program's functions by name, without their static types. */
export type Functions = Record<string, { inputs: Record<string, TensorSpec>; body: Body }>;

/** What runs a program's functions and holds its variables. Its callers check names and shapes. */
export interface Executor {
  /** Calls a function with tensors in the order of its inputs; the caller frees what it returns. */
  call(name: string, inputs: tf.Tensor[]): Record<string, tf.Tensor>;
  /** Values of variables, in the order of their names, which the caller frees. */
  read(variables: string[]): tf.Tensor[];
  /** Sets variables to copies of tensors, which stay the caller's. */
  assign(values: Record<string, tf.Tensor>): void;
  /** Frees the variables and what runs the functions. Nothing can be called afterwards. */
  dispose(): void;
}
