import type { tf } from '../../core/tf.js';

/**
 * Runs once. The result is read before the clock stops, so that a device that works on its own is
 * waited for.
 */
export async function timed(run: () => Promise<tf.Tensor>): Promise<{
  milliseconds: number;
  values: Float32Array;
}> {
  const started = performance.now();
  const tensor = await run();
  try {
    const values = tensor.dataSync<'float32'>();
    return { milliseconds: performance.now() - started, values };
  } finally {
    tensor.dispose();
  }
}

interface TurnOptions {
  /** Called after each run with what it made, outside its time. */
  onResult?: (run: number, round: number, values: Float32Array) => void;
  signal?: AbortSignal | undefined;
}

/**
 * Times several runs that are to be compared. They take turns, and every second round goes
 * backwards, so that a machine that slows down or is busy for a while treats all alike. Nothing is
 * warmed here.
 *
 * @param runs each called once a round with the round's number
 * @returns per run its time in each round, in milliseconds
 */
export async function takeTurns(
  runs: readonly ((round: number) => Promise<tf.Tensor>)[],
  rounds: number,
  { onResult, signal }: TurnOptions = {},
): Promise<number[][]> {
  const times: number[][] = runs.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const order = [...runs.entries()];
    for (const [index, run] of round % 2 === 0 ? order : order.reverse()) {
      await breathe(signal);
      const { milliseconds, values } = await timed(() => run(round));
      times[index]!.push(milliseconds);
      onResult?.(index, round, values);
    }
  }
  return times;
}

/** Lets timers and Control-C in between two runs, and throws where the signal says so. */
export async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await new Promise(setImmediate);
  signal?.throwIfAborted();
}

/** The middle of some numbers, the mean of the middle two where they are even in number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}
