import { UserError } from '../../src/core/errors.js';

/** What TensorFlow, XLA and CUDA say where memory does not suffice. */
const outOfMemory = /\bOOM\b|out of memory|resource.?exhausted|failed to allocate/i;

/** Whether an error says that memory does not suffice. */
export const isOutOfMemory = (error: unknown): boolean => outOfMemory.test(String(error));

/** Ends what it is given to after so many seconds. */
export const endAfter = (seconds: number): AbortSignal =>
  AbortSignal.timeout(Math.max(1, Math.round(1000 * seconds)));

/**
 * Tries a batch, and smaller ones as long as memory (half the batch) or time (an eighth) does not suffice.
 *
 * @param limit the seconds that the next try may take
 * @returns what the first try that succeeds returns, its batch, and why larger ones did not
 * @throws UserError where not even one image can be measured, and what else a try throws
 */
export async function fallingBatch<T>(
  batch: number,
  limit: (batch: number) => number,
  attempt: (batch: number, signal: AbortSignal) => Promise<T>,
): Promise<{ batch: number; found: T; notes: string[] }> {
  const notes: string[] = [];
  let size = batch;
  while (size >= 1) {
    const seconds = limit(size);
    const signal = endAfter(seconds);
    try {
      return { batch: size, found: await attempt(size, signal), notes };
    } catch (error) {
      const short = isOutOfMemory(error);
      if (!short && !signal.aborted) throw error;
      const why = short
        ? 'memory does not suffice'
        : `not measured in ${Number(seconds.toPrecision(2))} s`;
      notes.push(`batch ${size}: ${why}`);
      size = size === 1 ? 0 : Math.max(1, Math.floor(size / (short ? 2 : 8)));
    }
  }
  throw new UserError(`No batch could be measured: ${notes.join('; ')}`, 'Give it more time');
}
