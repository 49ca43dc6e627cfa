import * as os from 'node:os';
import type { tf } from '../tf.js';
import type { Mode } from './program.js';
import { nativeBackend } from './tensorflow.js';
import { traceParts } from './trace.js';

/**
 * Computes what does not need each other: the parts of a batch, for example. In a captured function
 * that XLA compiles, each part is compiled by itself and the parts run side by side, a thread each;
 * XLA alone divides only large operations among threads. What several parts need is computed before
 * them, and not compiled. In other modes the parts just follow each other. A function has one such
 * place, outside of loops.
 *
 * @returns what each part returned
 */
export function inParts<T extends Record<string, tf.Tensor>>(parts: readonly (() => T)[]): T[] {
  const results = parts.map((part) => part());
  traceParts(results.map((result) => Object.values(result)));
  return results;
}

/**
 * How many parts it pays to have: the threads that TensorFlow runs operations on, at most 8; 1 where
 * parts follow each other.
 */
export function threadsForParts(mode: Mode | undefined): number {
  const native = nativeBackend();
  if (mode !== 'xla' || !native || native.isUsingGpuDevice) return 1;
  const set = Number(process.env.TF_NUM_INTEROP_THREADS);
  return Math.min(Number.isInteger(set) && set > 0 ? set : os.availableParallelism(), 8);
}
