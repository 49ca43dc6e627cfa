import { UserError } from '../../core/errors.js';
import { foldIn, type RandomKey, randomKey } from '../../core/random.js';
import { epochOrder } from '../../data/reading.js';
import type { DataSource, RawBatch } from '../../data/source.js';
import type { FeedSettings, Feeds, ModelConfig, Objective } from '../../flow/model.js';

/** What the batches of a run depend on. */
export interface BatchOptions {
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
  options: BatchOptions,
  share: Share = { rank: 0, size: 1 },
): (step: number) => Promise<Batch> {
  const { data, settings } = options;
  const indicesOf = batchIndices(options, share);
  return async (step) => {
    const { epoch, indices } = indicesOf(step);
    const raw = await data.read(indices);
    data.prefetch?.(indicesOf(step + 1).indices);
    return feedsOf(options, raw, sampleKeys(settings.seed, epoch, indices));
  };
}

/**
 * The inputs of held-out samples: their noise comes from seed and index alone, nothing is mirrored
 * and no label dropped.
 *
 * @param options its data are the held-out ones
 */
export async function heldOutBatch(
  options: BatchOptions,
  indices: ArrayLike<number>,
): Promise<Batch> {
  const settings = { ...options.settings, flip: false, dropLabel: 0 };
  const raw = await options.data.read(indices);
  const key = foldIn(randomKey(settings.seed), 'validation');
  const keys = Array.from(indices, (index) => foldIn(key, index));
  return feedsOf({ ...options, settings }, raw, keys);
}

/**
 * The randomness of training samples: a key for each, from seed, epoch and the sample's index in its
 * data set, so that it does not matter in which batch, or in which of several processes, a sample is.
 */
export function sampleKeys(seed: number, epoch: number, indices: ArrayLike<number>): RandomKey[] {
  const key = foldIn(foldIn(randomKey(seed), 'sample'), epoch);
  return Array.from(indices, (index) => foldIn(key, index));
}

function feedsOf(
  { config, objectives, settings }: BatchOptions,
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

/** The samples of a step that is counted from 0, by their place in the data. */
export function samplesOf(options: BatchOptions, step: number): Int32Array {
  return batchIndices(options, { rank: 0, size: 1 })(step).indices;
}

/** The epoch and the samples of a step, in this process. */
function batchIndices(
  { data, settings }: BatchOptions,
  { rank, size }: Share,
): (step: number) => { epoch: number; indices: Int32Array } {
  const { batchSize, seed } = settings;
  checkShares(batchSize, size);
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

/** @throws UserError where so many processes do not divide a batch */
export function checkShares(batchSize: number, processes: number): void {
  if (batchSize % processes === 0) return;
  throw new UserError(
    `${processes} processes cannot share batches of ${batchSize} samples evenly`,
    `Set batchSize to a multiple of ${processes}`,
  );
}
