import { checkCount, UserError } from '../core/errors.js';
import { foldIn, normal, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { type DataSource, imagesTensor } from '../data/index.js';
import type { Model } from '../flow/model.js';
import type { FeatureNetwork } from '../pretrained/feature-network.js';
import { type AutoencodeOptions, decode, encode } from '../sampling/autoencode.js';
import { type FeatureStatistics, RunningStatistics } from './feature-statistics.js';
import { frechetDistance } from './frechet-distance.js';
import { meanWithError } from './statistics.js';

/** How close decoded images come to those that were encoded. */
export interface AutoencoderQuality {
  images: number;
  /** Mean over the images, in decibels. */
  psnr: number;
  /** Of that mean; absent of a single image. */
  standardError?: number;
  /** Fréchet distance to real images; absent without a network. */
  frechet?: number;
  /** That of the images that were encoded: the best to hope for. */
  floor?: number;
}

export interface AutoencoderQualityOptions extends Pick<AutoencodeOptions, 'mode' | 'signal'> {
  /** The first images; default all. */
  count?: number;
  /**
   * Deviation of normal noise that is added to latents of unit variance, as a flow is trained on them.
   * Default 0.
   */
  noise?: number;
  /** Of the noise. Default 0. */
  seed?: number;
  /** What latents are multiplied by to have unit variance; needed where there is noise. */
  scale?: number | undefined;
  /**
   * Applied to noisy latents of unit variance before they are decoded. It must not dispose of its argument.
   */
  denoise?: (latents: tf.Tensor4D) => tf.Tensor4D;
  /** What Fréchet distances are measured by, and the statistics of the real images. */
  distance?: { network: FeatureNetwork; real: FeatureStatistics };
  /** Images at a time. Default 32. */
  batchSize?: number;
  /** Called after each batch with the share of the images that are done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/**
 * Encodes images and decodes the means of their latents: the ratio of peak signal to noise, and how
 * far the decoded images are from real ones, beside the images themselves.
 *
 * @throws UserError where the model is no autoencoder or the images do not fit it, for noise without a
 *   scale, and for a batch size below 1; the signal's reason where it stops the computation
 */
export async function autoencoderQuality(
  model: Model,
  data: DataSource,
  options: AutoencoderQualityOptions = {},
): Promise<AutoencoderQuality> {
  const { distance, onProgress, signal, mode, batchSize = 32, noise = 0, scale } = options;
  if (noise > 0 && scale === undefined) {
    throw new UserError(
      `Noise of ${noise} came without the scale of the latents`,
      'Give the scale by which they have unit variance',
    );
  }
  checkCount('The batch size', batchSize);
  const count = Math.min(options.count ?? data.length, data.length);
  const ratios: number[] = [];
  const [own, originals] = [new RunningStatistics(), new RunningStatistics()];
  for (let first = 0; first < count; first += batchSize) {
    const indices = Array.from({ length: Math.min(batchSize, count - first) }, (_, i) => first + i);
    const images = await imagesTensor(data, indices);
    const made: tf.Tensor4D[] = [images];
    try {
      const how = { mode, ...(signal && { signal }) };
      const { mean, logVariance } = await encode(model, images, how);
      made.push(mean, logVariance);
      const latents = tidy(() => treated(mean, indices, options));
      made.push(latents);
      const decoded = await decode(model, latents, how);
      made.push(decoded);
      ratios.push(...psnr(decoded, images));
      if (distance) {
        addFeatures(own, distance.network, decoded);
        addFeatures(originals, distance.network, images);
      }
    } finally {
      tf.dispose(made);
    }
    onProgress?.((first + indices.length) / count);
  }
  const { mean, ...error } = meanWithError(ratios);
  return {
    images: count,
    psnr: mean,
    ...error,
    ...(distance && {
      frechet: frechetDistance(own.statistics(), distance.real),
      floor: frechetDistance(originals.statistics(), distance.real),
    }),
  };
}

/** What is decoded, on the autoencoder's own scale. Each image's noise depends on its number alone. */
function treated(
  mean: tf.Tensor4D,
  indices: readonly number[],
  { noise = 0, seed = 0, scale = 1, denoise }: AutoencoderQualityOptions,
): tf.Tensor4D {
  if (noise === 0 && !denoise) return mean.clone();
  const key = foldIn(randomKey(seed), 'latent noise');
  const size = mean.size / indices.length;
  const drawn = indices.map((index) => tf.tensor(normal(foldIn(key, index), size)));
  const noisy: tf.Tensor4D = tf.add(
    tf.mul(mean, scale),
    tf.mul(tf.reshape(tf.stack(drawn), mean.shape), noise),
  );
  return tf.div(denoise ? denoise(noisy) : noisy, scale);
}

/** Takes the features of images, clipped to [−1, 1] as a picture is, into statistics. */
function addFeatures(
  statistics: RunningStatistics,
  network: FeatureNetwork,
  images: tf.Tensor4D,
): void {
  const features = tidy(() => network.features(tf.clipByValue(images, -1, 1)));
  try {
    statistics.add(features);
  } finally {
    features.dispose();
  }
}

/**
 * Peak signal-to-noise ratios (PSNR) of images, 10·log₁₀(2²/mean square error) for each, in decibels. Images
 * are clipped to [−1, 1] first, as a picture would be; an image that is met exactly counts as 100.
 *
 * @param images (batch, channels, height, width)
 * @param originals of the same shape, in [−1, 1]
 * @returns one ratio per image
 * @throws UserError for images of another shape
 *
 * @example
 * ```ts
 * import { startEngine, tf } from 'tarflow';
 * import { psnr } from 'tarflow/evaluation';
 *
 * await startEngine();
 * const black = tf.fill<tf.Rank.R4>([1, 3, 8, 8], -1);
 * console.log(psnr(tf.add(black, 0.02), black)); // [ 40 ]
 * ```
 */
export function psnr(images: tf.Tensor4D, originals: tf.Tensor4D): Float32Array {
  if (images.shape.join() !== originals.shape.join()) {
    throw new UserError(
      `Images of shape (${images.shape.join(', ')}) came with originals of (${originals.shape.join(', ')})`,
      'Expected the same shape',
    );
  }
  return tidy(() => {
    const clipped = tf.clipByValue(images, -1, 1);
    const squares = tf.mean(tf.squaredDifference(clipped, originals), [1, 2, 3]);
    const ratio = tf.log(tf.div(4, tf.maximum(squares, 4e-10)));
    return tf.mul(ratio, 10 / Math.LN10).dataSync<'float32'>();
  });
}
