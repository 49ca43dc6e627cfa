import { tf } from '../../backend/tf.js';
import { type DataSource, imagesTensor } from '../../data/index.js';
import type { FeatureRows } from '../distances/features.js';

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

export interface FeaturesOptions {
  /** Images taken at a time. Default 50. */
  batch?: number;
  /** Awaited after each batch with the number of images that are done. */
  onProgress?: (images: number) => Promise<void> | void;
  signal?: AbortSignal;
}

/**
 * The features of many images, on the host, a batch at a time.
 *
 * @param images (images, channels, height, width) in [−1, 1], or a source and which of its images
 * @throws the signal's reason where it stops the computation
 */
export async function featuresOf(
  network: FeatureNetwork,
  images: tf.Tensor4D | { data: DataSource; indices: ArrayLike<number> },
  { batch = 50, onProgress, signal }: FeaturesOptions = {},
): Promise<FeatureRows> {
  const count = images instanceof tf.Tensor ? images.shape[0] : images.indices.length;
  const data = new Float32Array(count * network.width);
  for (let first = 0; first < count; first += batch) {
    signal?.throwIfAborted();
    const taken = Math.min(batch, count - first);
    const part =
      images instanceof tf.Tensor
        ? tf.slice(images, [first, 0, 0, 0], [taken, -1, -1, -1])
        : await imagesTensor(
            images.data,
            Array.from({ length: taken }, (_, i) => images.indices[first + i] as number),
          );
    try {
      const features = network.features(part);
      data.set(await features.data(), first * network.width);
      features.dispose();
    } finally {
      part.dispose();
    }
    await onProgress?.(first + taken);
  }
  return { data, shape: [count, network.width] };
}
