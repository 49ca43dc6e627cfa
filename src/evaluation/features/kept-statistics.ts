import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { UserError } from '../../core/errors.js';
import { FileUnwritable } from '../../core/files.js';
import { tf } from '../../core/tf.js';
import type { FeatureStatistics } from '../distances/features.js';
import { readStatistics, writeStatistics } from '../distances/statistics-file.js';
import {
  batchSizeOf,
  type FeatureNetwork,
  type FeaturesOptions,
  type ImagesToSee,
  statisticsOfImages,
} from './network.js';

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
  const key = createHash('sha256').update(JSON.stringify([version, seenBy, weights, data]));
  const file = path.join(
    ...[cacheFolder(), 'features', 'statistics', `${key.digest('hex').slice(0, 32)}.safetensors`],
  );
  const kept = await readKept(file, network.width);
  if (kept) {
    await onProgress?.(1);
    return kept;
  }
  const statistics = await statisticsOfImages(network, images, part(shareOfReading, 1));
  const metadata = { network: seenBy, weights, images: name, data, count: `${statistics.count}` };
  await writeStatistics(file, statistics, metadata).catch((error: unknown) => {
    // A cache folder may be read-only, or its disk full.
    if (!(error instanceof FileUnwritable)) throw error;
  });
  return statistics;
}

/** What is kept in a file; undefined where there is none, or it is damaged. */
async function readKept(file: string, width: number): Promise<FeatureStatistics | undefined> {
  if (!existsSync(file)) return undefined;
  try {
    const { count, mean, covariance } = await readStatistics(file);
    if (count === undefined || mean.length !== width) return undefined;
    return { count, mean, covariance };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return undefined;
  }
}

/** SHA-256 of the images: their number, their size and every pixel. */
async function digestOf(images: ImagesToSee, options: FeaturesOptions): Promise<string> {
  const { signal, onProgress } = options;
  const batchSize = batchSizeOf(options);
  const hash = createHash('sha256');
  if (images instanceof tf.Tensor) {
    hash.update(JSON.stringify(images.shape)).update((await images.data()) as Float32Array);
    return hash.digest('hex');
  }
  const { data, indices } = images;
  const { channels, height, width } = data.image;
  hash.update(JSON.stringify([indices.length, channels, height, width]));
  for (let first = 0; first < indices.length; first += batchSize) {
    signal?.throwIfAborted();
    const length = Math.min(batchSize, indices.length - first);
    const some = Array.from({ length }, (_, i) => indices[first + i] as number);
    hash.update((await data.read(some)).values);
    await onProgress?.((first + length) / indices.length);
  }
  return hash.digest('hex');
}
