import { type Batch, type BatchPlan, batchMaker, type Share } from './plan.js';
import { BatchThread } from './thread.js';

export { type Draws, drawsFrom } from './draws.js';
export { sampleKeys, validationKeys } from './keys.js';
export { type Noise, noisyImages } from './noise.js';
export { noisyImageFeeds } from './noisy-images.js';
export { type Batch, type BatchPlan, heldOutBatch, type Share } from './plan.js';

/** The batches of a run, one after the other. */
export interface BatchSource {
  /** @throws what making the batch threw, as the UserError of a file that cannot be read */
  next(): Promise<Batch>;
  close(): Promise<void>;
}

/** A thread of its own is worth its start from so many steps on. */
const manySteps = 100;

/**
 * The batches of the steps from `first` to before `end`, or a process's share of each. In a long run
 * a thread of its own makes them while the steps before them run; they are the same numbers. Those of
 * a family that is not in the registry are made here.
 *
 * @throws UserError where the processes do not divide the batch
 */
export function batchSource(
  plan: BatchPlan,
  first: number,
  end: number,
  share: Share = { rank: 0, size: 1 },
): BatchSource {
  const make = batchMaker(plan, share);
  if (end - first >= manySteps) return new BatchThread(plan, first, end, share, make);
  let step = first;
  return { next: () => make(step++), close: async () => {} };
}
