import { xlaIsAtHand } from '@tarflow/graph';
import { checkCount, checkGiven } from '../core/errors.js';
import { foldIn, type RandomKey, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { type DataSource, labelBatch, pixelBatch } from '../data/index.js';
import { type LogProbOptions, logProb } from '../flow/density.js';
import { checkImageSize, dimensions, type Model } from '../flow/model.js';
import { type Noise, noisyImages } from '../training/batches/index.js';
import { meanWithError } from './statistics.js';

/**
 * Bits per dimension of dequantised images: −log₂ p per dimension, plus 7 bits since a grey level
 * is 2/256 wide on the scale [−1, 1] (log₂ 128 = 7).
 *
 * @param x images with uniform dequantisation noise (batch, channels, height, width)
 * @returns per sample (batch); the caller frees it
 * @throws UserError where the images, labels or captions do not fit the model, or it has no density
 *
 * @example
 * ```ts
 * import { bitsPerDimension, createModel, startEngine, tf } from 'tarflow';
 * import { randomKey } from 'tarflow/core';
 * import { noisyImages } from 'tarflow/training';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const grey = new Uint8Array(2 * 64).fill(90);
 * const noisy = noisyImages(grey, { kind: 'uniform' }, randomKey(0));
 * console.log(await bitsPerDimension(flow, tf.tensor4d(noisy, [2, 1, 8, 8])).data());
 * ```
 */
export function bitsPerDimension(
  flow: Model,
  x: tf.Tensor4D,
  options: LogProbOptions = {},
): tf.Tensor1D {
  return tidy(() => {
    const nats = tf.div(tf.neg(logProb(flow, x, options)), dimensions(flow.config));
    return tf.div(tf.add(nats, Math.log(128)), Math.LN2);
  });
}

export interface BitsPerDimensionResult {
  /** Mean over the images. */
  mean: number;
  /** Standard error of the mean over the images; absent of a single one. */
  standardError?: number;
  images: number;
  /** Of each image, averaged over the draws. */
  values: Float64Array;
}

export interface DatasetOptions {
  /** The first images of the split; default all. */
  count?: number;
  /** Images evaluated together. Default 128. */
  batchSize?: number;
  /** Of the dequantisation noise. Default 0. */
  seed?: number;
  /** Draws of that noise for each image, averaged; the papers take one. Default 1. */
  draws?: number;
  /** True to give the images' labels to a conditional model; the papers do not. Default false. */
  useLabels?: boolean;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
  signal?: AbortSignal;
}

/** From so many on, batches that take a tenth less time each are worth a few seconds of compilation. */
const manyBatches = 32;

/**
 * Bits per dimension of a data set: one uniform dequantisation draw per image, averaged (the
 * papers' measure), or several. Image i's draws depend on the seed and i alone, and the first is the
 * same however many there are.
 *
 * @throws UserError where the data are latents or do not fit the model, and for a count, a number of draws
 *   or a batch size below 1; the signal's reason where it stops the computation
 *
 * @example
 * ```ts
 * import { createModel, datasetBitsPerDimension, loadDataset, startEngine } from 'tarflow';
 *
 * await startEngine();
 * const data = await loadDataset('fashion-mnist', 'validation');
 * const size = { patchSize: 4, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const about = { kind: 'tarflow', image: data.image, classes: 10, volumePreserving: false } as const;
 * const flow = createModel({ ...about, ...size }, 1);
 * const { mean, standardError } = await datasetBitsPerDimension(flow, data, { count: 64 });
 * console.log(`${mean.toFixed(2)} ± ${standardError?.toFixed(2)} bits/dim`);
 * ```
 */
export async function datasetBitsPerDimension(
  flow: Model,
  data: DataSource,
  options: DatasetOptions = {},
): Promise<BitsPerDimensionResult> {
  const { batchSize = 128, seed = 0, draws = 1, useLabels = false, onProgress, signal } = options;
  checkCount('The number of draws', draws);
  checkCount('The batch size', batchSize);
  checkGiven('The model', flow, 'config');
  checkGiven('The data set', data, 'image', 'read');
  checkImageSize(flow.config, data.image, data.name);
  const count = Math.min(options.count ?? data.length, data.length);
  checkCount('The number of images', count);
  const key = foldIn(randomKey(seed), 'dequantise');
  const many = (draws * count) / batchSize >= manyBatches && xlaIsAtHand();
  const { channels, height, width } = data.image;
  const size = dimensions(flow.config);
  const values = new Float64Array(count);
  for (let first = 0; first < count; first += batchSize) {
    const indices = Array.from({ length: Math.min(batchSize, count - first) }, (_, i) => first + i);
    const pixels = await pixelBatch(data, indices);
    const label = useLabels && flow.config.classes > 0 ? labelBatch(data, indices) : undefined;
    const whole = indices.length === batchSize;
    for (let draw = 0; draw < draws; draw++) {
      signal?.throwIfAborted();
      const drawn = draw === 0 ? key : foldIn(key, `draw ${draw}`);
      const images = imagesWithNoise(pixels, indices, size, { kind: 'uniform' }, drawn);
      const bits = tidy(() => {
        const x = tf.tensor4d(images, [indices.length, channels, height, width]);
        return bitsPerDimension(flow, x, { label, ...(many && whole && { mode: 'xla' }) });
      });
      bits.dataSync().forEach((value, i) => {
        values[first + i]! += value / draws;
      });
      bits.dispose();
      onProgress?.((first + (indices.length * (draw + 1)) / draws) / count);
      await new Promise(setImmediate);
    }
  }
  return { ...meanWithError(values), images: count, values };
}

/** Images with a draw of noise each, from a key and their numbers in the data set. */
export function imagesWithNoise(
  pixels: Uint8Array,
  indices: readonly number[],
  size: number,
  noise: Noise,
  key: RandomKey,
): Float32Array {
  const images = new Float32Array(pixels.length);
  indices.forEach((index, i) => {
    const one = pixels.subarray(i * size, (i + 1) * size);
    images.set(noisyImages(one, noise, foldIn(key, index)), i * size);
  });
  return images;
}

/** A mean over the images of a class. */
export interface ClassMean {
  label: number;
  mean: number;
  /** Absent of a single image. */
  standardError?: number;
  images: number;
}

/**
 * Means over the images of each class, in the order of the classes; those without images are absent.
 *
 * @param values one per image, as {@link datasetBitsPerDimension} gives them
 * @param labels the classes of the same images; below 0 is none
 */
export function meansByClass(values: ArrayLike<number>, labels: ArrayLike<number>): ClassMean[] {
  const byClass = new Map<number, number[]>();
  for (let i = 0; i < values.length; i++) {
    const label = labels[i]!;
    if (label < 0) continue;
    const some = byClass.get(label) ?? [];
    some.push(values[i]!);
    byClass.set(label, some);
  }
  return [...byClass]
    .sort(([a], [b]) => a - b)
    .map(([label, some]) => ({
      label,
      ...meanWithError(some),
      images: some.length,
    }));
}
