import * as os from 'node:os';
import { nativeBackend } from '../native/binding.js';
import { tf } from '../tf.js';
import type { Mode } from './body.js';
import { activeRecorder } from './tracing.js';

/**
 * Computes independent parts, for example those of a batch. In a captured function that XLA
 * compiles, each part is compiled by itself and the parts run side by side, one thread each; XLA by
 * itself divides only large operations among threads. What several parts need is computed before
 * them, uncompiled. A graph runs independent operations side by side anyway, and in eager mode the
 * parts run one after the other. A function may have one such place, outside of loops.
 *
 * @returns what each part returned
 */
export function inParts<T extends Record<string, tf.Tensor>>(parts: readonly (() => T)[]): T[] {
  const results = parts.map((part) => part());
  activeRecorder()?.inParts(results.map((result) => Object.values(result)));
  return results;
}

/**
 * How many parts can run side by side. Under XLA it is one for each thread on which TensorFlow runs
 * operations, at most 8, and so it is in a graph whose operations have one thread each. In another,
 * whose operations are divided among threads already, it is two: one computes while the other waits.
 * Elsewhere it is one.
 */
export function threadsForParts(mode: Mode | undefined): number {
  const native = nativeBackend();
  if (!native || native.isUsingGpuDevice || mode === 'eager') return 1;
  const threads = threadsOf('TF_NUM_INTEROP_THREADS');
  return Math.min(threads, mode === 'xla' || threadUse() === 'undivided' ? 8 : 2);
}

/** How threads are used: all of them by each operation, or one by each, for parts of a batch. */
export type ThreadUse = 'divided' | 'undivided';

/**
 * How threads are used here: `undivided` where each operation runs on one thread
 * (TF_NUM_INTRAOP_THREADS=1), and threads are for parts. Then parts neither wait for each other's
 * operations nor share their caches.
 */
export function threadUse(): ThreadUse {
  return threadsOf('TF_NUM_INTRAOP_THREADS') === 1 ? 'undivided' : 'divided';
}

function threadsOf(variable: string): number {
  const set = Number(process.env[variable]);
  return Number.isInteger(set) && set > 0 ? set : os.availableParallelism();
}

/** From this many rows of a layer on, parts of a batch save more time in a graph than they cost. */
const enoughRows = {
  divided: { apart: 1024, summed: 8192 },
  undivided: { apart: 512, summed: 1024 },
};

/**
 * Into how many equal parts it pays to divide a batch.
 *
 * @param rows of a layer: the number of images times their tokens
 * @param results `summed` where each part returns gradients of all parameters, which are added up
 */
export function batchParts(
  mode: Mode | undefined,
  batch: number,
  rows: number,
  results: 'apart' | 'summed' = 'apart',
): number {
  const least = enoughRows[threadUse()][results];
  if (mode !== 'xla' && rows < least) return 1;
  let parts = Math.max(1, Math.min(batch, threadsForParts(mode)));
  while (batch % parts !== 0) parts--;
  return parts;
}

/** Divides tensors into equal parts along their first axis; absent ones stay absent. */
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
