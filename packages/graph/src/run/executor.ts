import type { tf } from '../tf.js';
import type { Body, TensorSpec } from '../trace/body.js';

/** A program's functions by name, without their static types. */
export type Functions = Record<string, { inputs: Record<string, TensorSpec>; body: Body }>;

/** Runs the functions of a program and holds its variables. Its callers check names and shapes. */
export interface Executor {
  /** Calls a function with tensors in the order of its inputs; the caller frees what it returns. */
  call(name: string, inputs: tf.Tensor[]): Record<string, tf.Tensor>;
  /** The values of variables, in the order of the names given; the caller frees them. */
  read(variables: string[]): tf.Tensor[];
  /** Sets variables to copies of tensors, which stay the caller's. */
  assign(values: Record<string, tf.Tensor>): void;
  /** Frees the variables and the functions. Nothing can be called afterwards. */
  dispose(): void;
}
