import { checkCount } from '../../core/count.js';
import { tf } from '../../core/tf.js';
import { type DataSource, imagesTensor } from '../../data/index.js';
import {
  type FeatureRows,
  type FeatureStatistics,
  RunningStatistics,
} from '../distances/features.js';

/** A network by whose features sets of images are compared. */
export interface FeatureNetwork {
  /** Stands beside every figure: distances by two networks cannot be compared. */
  readonly name: string;
  /** Features of an image. */
  readonly width: number;
  /**
   * The SHA-256 of the weights, under which statistics of features are kept on disk; where it is
   * absent they are not.
   */
  readonly weights?: string;
  /** What distances by this network are called; FID and KID are Inception-v3's alone. */
  readonly distances?: { readonly frechet: string; readonly kernel: string };
  /**
   * Features (batch, width), which the caller frees.
   *
   * @param images (batch, channels, height, width) in [−1, 1]
   * @throws UserError where the images do not fit the network
   */
  features(images: tf.Tensor4D): tf.Tensor2D;
  /** Frees the network's tensors. */
  dispose(): void;
}

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

/**
 * How many images are taken at a time.
 * @throws UserError where that is no whole number above 0
 */
export function batchSizeOf({ batchSize = 50 }: FeaturesOptions): number {
  checkCount('The batch size', batchSize);
  return batchSize;
}

/** Calls `f` with the features of each batch, row by row, and which of the images is its first. */
async function forFeatures(
  network: FeatureNetwork,
  images: ImagesToSee,
  options: FeaturesOptions,
  f: (features: Float32Array, first: number) => void,
): Promise<void> {
  const { onProgress, signal } = options;
  const batchSize = batchSizeOf(options);
  const count = countOf(images);
  for (let first = 0; first < count; first += batchSize) {
    signal?.throwIfAborted();
    const taken = Math.min(batchSize, count - first);
    const part =
      images instanceof tf.Tensor
        ? tf.slice(images, [first, 0, 0, 0], [taken, -1, -1, -1])
        : await imagesTensor(
            images.data,
            Array.from({ length: taken }, (_, i) => images.indices[first + i] as number),
          );
    try {
      const features = network.features(part);
      const values = await features.data().finally(() => features.dispose());
      f(values as Float32Array, first);
    } finally {
      part.dispose();
    }
    await onProgress?.((first + taken) / count);
  }
}

function countOf(images: ImagesToSee): number {
  return images instanceof tf.Tensor ? images.shape[0] : images.indices.length;
}
