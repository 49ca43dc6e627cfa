import { createHash } from 'node:crypto';
import { checkCount } from '../core/errors.js';
import { tf } from '../core/tf.js';
import { type DataSource, imagesTensor } from '../data/index.js';
import { keptOrMade, keptPlace } from '../formats/kept-file.js';
import type { FeatureNetwork } from '../pretrained/feature-network.js';
import {
  type FeatureRows,
  type FeatureStatistics,
  RunningStatistics,
} from './feature-statistics.js';
import { readStatistics, writeStatistics } from './statistics-file.js';

/** Images (count, channels, height, width) in [−1, 1], or a source and which of its images. */
export type ImagesToSee = tf.Tensor4D | { data: DataSource; indices: ArrayLike<number> };

export interface FeaturesOptions {
  /** Images taken at a time. Default 50. */
  batchSize?: number;
  /** Awaited after each batch with the share of the images that are done, 0 to 1. */
  onProgress?: (share: number) => Promise<void> | void;
  signal?: AbortSignal;
}

/**
 * The features of many images, on the host, a batch at a time.
 *
 * @param images (images, channels, height, width) in [−1, 1], or a source and which of its images
 * @throws UserError for a batch size below 1, and where the images do not fit the network; the signal's
 *   reason where it stops the computation
 */
export async function featuresOf(
  network: FeatureNetwork,
  images: ImagesToSee,
  options: FeaturesOptions = {},
): Promise<FeatureRows> {
  const count = countOf(images);
  const data = new Float32Array(count * network.width);
  await forFeatures(network, images, options, (features, first) => {
    data.set(features, first * network.width);
  });
  return { data, shape: [count, network.width] };
}

/** Features of so many images are taken into the statistics at a time. */
const rowsAtATime = 1024;

/**
 * Mean and covariance of the features of many images, which are never in memory all at once.
 *
 * @param images (images, channels, height, width) in [−1, 1], or a source and which of its images
 * @throws UserError for fewer than two images, a feature that is not finite, or a batch size below 1; the
 *   signal's reason where it stops the computation
 */
export async function statisticsOfImages(
  network: FeatureNetwork,
  images: ImagesToSee,
  options: FeaturesOptions = {},
): Promise<FeatureStatistics> {
  const { width } = network;
  const running = new RunningStatistics();
  const rows = new Float32Array(rowsAtATime * width);
  let held = 0;
  const take = () => {
    running.add({ data: rows.subarray(0, held * width), shape: [held, width] });
    held = 0;
  };
  await forFeatures(network, images, options, (features) => {
    for (let at = 0; at < features.length; at += width) {
      rows.set(features.subarray(at, at + width), held * width);
      held++;
      if (held === rowsAtATime) take();
    }
  });
  take();
  return running.statistics();
}

/** Calls `f` with the features of each batch, row by row, and which of the images is its first. */
function forFeatures(
  network: FeatureNetwork,
  images: ImagesToSee,
  options: FeaturesOptions,
  f: (features: Float32Array, first: number) => void,
): Promise<void> {
  return forBatches(images, options, async (first, taken) => {
    const part =
      images instanceof tf.Tensor
        ? tf.slice(images, [first, 0, 0, 0], [taken, -1, -1, -1])
        : await imagesTensor(images.data, some(images.indices, first, taken));
    try {
      const features = network.features(part);
      f(await features.data<'float32'>().finally(() => features.dispose()), first);
    } finally {
      part.dispose();
    }
  });
}

/** Does something with each batch of images: with `taken` of them from `first` on. */
async function forBatches(
  images: ImagesToSee,
  { onProgress, signal, batchSize = 50 }: FeaturesOptions,
  work: (first: number, taken: number) => Promise<void>,
): Promise<void> {
  checkCount('The batch size', batchSize);
  const count = countOf(images);
  for (let first = 0; first < count; first += batchSize) {
    signal?.throwIfAborted();
    const taken = Math.min(batchSize, count - first);
    await work(first, taken);
    await onProgress?.((first + taken) / count);
  }
}

function countOf(images: ImagesToSee): number {
  return images instanceof tf.Tensor ? images.shape[0] : images.indices.length;
}

function some(indices: ArrayLike<number>, first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => indices[first + i]!);
}

/** Grows where a network comes to see images in another way, so that what was kept is not taken. */
const version = 1;

/** The share of the time that reading images takes beside seeing them, about. */
const shareOfReading = 0.1;

/**
 * Mean and covariance of the features of images, computed once: they are kept in the cache folder
 * (`features/statistics/`) under the network's weights, the images themselves and their number. A
 * network without a digest of its weights has nothing kept.
 *
 * @param name what the images are called in the file that is kept
 * @throws as {@link statisticsOfImages}
 */
export async function keptStatistics(
  network: FeatureNetwork,
  images: ImagesToSee,
  { name, onProgress, ...options }: FeaturesOptions & { name: string },
): Promise<FeatureStatistics> {
  const { weights, name: seenBy } = network;
  if (weights === undefined) {
    return statisticsOfImages(network, images, { ...options, ...(onProgress && { onProgress }) });
  }
  const part = (from: number, to: number): FeaturesOptions => ({
    ...options,
    ...(onProgress && { onProgress: (share) => onProgress(from + (to - from) * share) }),
  });
  const data = await digestOf(images, part(0, shareOfReading));
  const file = keptPlace('features/statistics', [version, seenBy, weights, data]);
  return keptOrMade(file, {
    async read(kept) {
      const { count, mean, covariance } = await readStatistics(kept);
      if (count === undefined || mean.length !== network.width) return undefined;
      await onProgress?.(1);
      return { count, mean, covariance };
    },
    make: () => statisticsOfImages(network, images, part(shareOfReading, 1)),
    write: (kept, made) =>
      writeStatistics(kept, made, {
        network: seenBy,
        weights,
        images: name,
        data,
        count: `${made.count}`,
      }),
  });
}

/** SHA-256 of the images: their number, their size and every pixel. */
async function digestOf(images: ImagesToSee, options: FeaturesOptions): Promise<string> {
  const hash = createHash('sha256');
  if (images instanceof tf.Tensor) {
    hash.update(JSON.stringify(images.shape)).update(await images.data<'float32'>());
    return hash.digest('hex');
  }
  const { data, indices } = images;
  const { channels, height, width } = data.image;
  hash.update(JSON.stringify([indices.length, channels, height, width]));
  await forBatches(images, options, async (first, taken) => {
    hash.update((await data.read(some(indices, first, taken))).values);
  });
  return hash.digest('hex');
}
