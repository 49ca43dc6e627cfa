import type { tf } from '../tf.js';
import type { Body, TensorSpec } from './trace.js';

/** A program's functions by name, without their static types. */
export type Functions = Record<string, { inputs: Record<string, TensorSpec>; body: Body }>;

/** What runs a program's functions and holds its variables. Its callers check names and shapes. */
export interface Executor {
  /** Calls a function with tensors in the order of its inputs. */
  call(name: string, inputs: tf.Tensor[]): Record<string, tf.Tensor>;
  read(variables: string[]): tf.Tensor[];
  assign(values: Record<string, tf.Tensor>): void;
  dispose(): void;
}
