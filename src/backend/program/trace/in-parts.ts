import * as os from 'node:os';
import { nativeBackend } from '../../native/binding.js';
import { tf } from '../../tf.js';
import type { Mode } from '../run/create-program.js';
import { traceParts } from './tracing.js';

/**
 * Computes what does not need each other: the parts of a batch, for example. In a captured function
 * that XLA compiles, each part is compiled by itself and the parts run side by side, a thread each;
 * XLA alone divides only large operations among threads. What several parts need is computed before
 * them, and not compiled. In a graph what does not need each other runs side by side as it is; op
 * by op the parts follow each other. A function has one such place, outside of loops.
 *
 * @returns what each part returned
 */
export function inParts<T extends Record<string, tf.Tensor>>(parts: readonly (() => T)[]): T[] {
  const results = parts.map((part) => part());
  traceParts(results.map((result) => Object.values(result)));
  return results;
}

/**
 * How many parts can run side by side: under XLA one for each thread that TensorFlow runs operations
 * on, at most 8; in a graph, whose operations are divided among threads already, two, of which one
 * computes where the other waits; else one.
 */
export function threadsForParts(mode: Mode | undefined): number {
  const native = nativeBackend();
  if (!native || native.isUsingGpuDevice || mode === 'eager') return 1;
  const set = Number(process.env.TF_NUM_INTEROP_THREADS);
  const threads = Number.isInteger(set) && set > 0 ? set : os.availableParallelism();
  return Math.min(threads, mode === 'xla' ? 8 : 2);
}

/** Rows of a layer from which two parts of a batch save more in a graph than a second costs. */
const enoughRows = { apart: 1024, summed: 8192 };

/**
 * Into how many equal parts it pays to divide a batch.
 *
 * @param rows of a layer: the batch's images times their tokens
 * @param results `summed` where parts give gradients of all parameters, to be added up
 */
export function batchParts(
  mode: Mode | undefined,
  batch: number,
  rows: number,
  results: keyof typeof enoughRows = 'apart',
): number {
  if (mode !== 'xla' && rows < enoughRows[results]) return 1;
  let parts = Math.max(1, Math.min(batch, threadsForParts(mode)));
  while (batch % parts !== 0) parts--;
  return parts;
}

/** Tensors in equal parts along their first axis; absent ones stay absent. */
export function partsOf<T extends Record<string, tf.Tensor | undefined>>(
  tensors: T,
  count: number,
): T[] {
  if (count === 1) return [tensors];
  const divided = Object.entries(tensors).map(
    ([name, tensor]) => [name, tensor && tf.split(tensor, count)] as const,
  );
  return Array.from(
    { length: count },
    (_, part) => Object.fromEntries(divided.map(([name, parts]) => [name, parts?.[part]])) as T,
  );
}
