import { UserError } from '../../core/errors.js';
import { foldIn, type RandomKey, randomKey } from '../../core/random.js';
import { epochOrder } from '../../data/reading.js';
import type { DataSource, RawBatch } from '../../data/source.js';
import type { FeedSettings, Feeds, ModelConfig, Objective } from '../../flow/model.js';
import { sampleKeys, validationKeys } from './keys.js';

/** What the batches of a run depend on. */
export interface BatchPlan {
  config: ModelConfig;
  /** What a step trains, in its order: each says what it reads. */
  objectives: readonly Pick<Objective, 'name' | 'feeds'>[];
  settings: FeedSettings & { batchSize: number; seed: number };
  data: DataSource;
}

/** The inputs of a step: for each objective, by its name, the numbers that it reads. */
export type Batch = Record<string, Feeds>;

/** Which of the processes that share each batch makes its part of it. */
export interface Share {
  /** 0 to size − 1. */
  rank: number;
  /** The number of processes; it divides the batch. */
  size: number;
}

/**
 * Makes the batch of any step of a run, counted from 0, or a process's share of it: samples in the
 * epoch's order, each with noise, flip and dropped label of its own, whatever the share. Steps in
 * ascending order are quickest.
 *
 * @throws UserError where the processes do not divide the batch
 */
export function batchMaker(
  plan: BatchPlan,
  share: Share = { rank: 0, size: 1 },
): (step: number) => Promise<Batch> {
  const { data, settings } = plan;
  const indicesOf = batchIndices(plan, share);
  return async (step) => {
    const { epoch, indices } = indicesOf(step);
    const raw = await data.read(indices);
    data.prefetch?.(indicesOf(step + 1).indices);
    return feedsOf(plan, raw, sampleKeys(settings.seed, epoch, indices));
  };
}

/**
 * The inputs of held-out samples: their noise comes from seed and index alone, nothing is mirrored
 * and no label dropped.
 *
 * @param plan its data are the held-out ones
 */
export async function heldOutBatch(plan: BatchPlan, indices: ArrayLike<number>): Promise<Batch> {
  const settings = { ...plan.settings, flip: false, dropLabel: 0 };
  const raw = await plan.data.read(indices);
  return feedsOf({ ...plan, settings }, raw, validationKeys(settings.seed, indices));
}

function feedsOf(
  { config, objectives, settings }: BatchPlan,
  raw: RawBatch,
  keys: readonly RandomKey[],
): Batch {
  return Object.fromEntries(
    objectives.map((objective) => {
      // Of several objectives each draws for itself.
      const alone = objectives.length === 1;
      const own = alone ? keys : keys.map((key) => foldIn(key, objective.name));
      return [objective.name, objective.feeds(config, raw, own, settings)];
    }),
  );
}

/** The epoch and the samples of a step, in this process. */
function batchIndices(
  { data, settings }: BatchPlan,
  { rank, size }: Share,
): (step: number) => { epoch: number; indices: Int32Array } {
  const { batchSize, seed } = settings;
  if (batchSize % size !== 0) {
    throw new UserError(
      `${size} processes cannot share batches of ${batchSize} samples evenly`,
      `Set batchSize to a multiple of ${size}`,
    );
  }
  const key = randomKey(seed);
  const stepsPerEpoch = Math.floor(data.length / batchSize);
  const own = batchSize / size;
  let known: { epoch: number; order: Int32Array } | undefined;
  return (step) => {
    const epoch = Math.floor(step / stepsPerEpoch);
    if (known?.epoch !== epoch) known = { epoch, order: epochOrder(data, key, epoch) };
    const first = (step % stepsPerEpoch) * batchSize + rank * own;
    return { epoch, indices: known.order.subarray(first, first + own) };
  };
}
