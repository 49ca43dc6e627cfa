import { checkCount } from '../core/errors.js';
import { foldIn, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { pictureOf } from '../data/encoded/image-file.js';
import { type DataSource, pixelBatch } from '../data/index.js';
import type { ImageSize } from '../data/source.js';
import { logProbAndScore } from '../flow/density.js';
import { checkImageSize, dimensions, type Model } from '../flow/model.js';
import type { Noise } from '../training/batches/index.js';
import { bitsPerDimension, imagesWithNoise } from './bits-per-dimension.js';

/**
 * How strange images are to a flow, one number for each image, higher where it is stranger:
 *
 * - `bitsPerDimension`: −log₂ p, which fails where outliers are simpler than what the flow was trained on
 *   (Nalisnick et al. 2018, arXiv 1810.09136);
 * - `complexityCorrected`: less the bits of the image as a lossless WebP or PNG, whichever is shorter (Serrà
 *   et al. 2019, arXiv 1909.11480);
 * - `scoreNorm`: the length of ∇ log p(x), in nats per unit of x (Grathwohl et al. 2019, arXiv 1912.03263);
 * - `likelihoodRatio`: less the bits of a background model (Ren et al. 2019, arXiv 1906.02845);
 * - `typicality`: how far the bits are from their mean over the reference, either way (Nalisnick et al. 2019,
 *   arXiv 1906.02994, with one image in a batch).
 *
 * All but `scoreNorm` are in bits per dimension. The last two are absent without what they take.
 */
export type AnomalyScores = Record<
  'bitsPerDimension' | 'complexityCorrected' | 'scoreNorm',
  Float64Array
> &
  Partial<Record<'likelihoodRatio' | 'typicality', Float64Array>>;

export interface AnomalyOptions {
  /** The first images of the set; default all. */
  count?: number;
  /** Images evaluated together. Default 64. */
  batchSize?: number;
  /** That of the training, which images get here, too. Default uniform. */
  noise?: Noise;
  /** Of the noise. Default 0. */
  seed?: number;
  /** A model trained on mutated pixels (the training setting `mutate`), for `likelihoodRatio`. */
  background?: Model | undefined;
  /** Mean bits per dimension of images as those of the training, for `typicality`. */
  reference?: number | undefined;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
  signal?: AbortSignal;
}

/**
 * Scores of anomaly of the images of a data set, see {@link AnomalyScores}. Conditional models see no label.
 * An image's noise depends on the seed and its number alone.
 *
 * @throws UserError where the data are latents or do not fit the models, and for a count or a batch size
 *   below 1; the signal's reason where it stops the computation
 *
 * @example
 * ```ts
 * import { createModel, startEngine } from 'tarflow';
 * import { imageDataset } from 'tarflow/data';
 * import { anomalyScores } from 'tarflow/evaluation';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 0, volumePreserving: false } as const;
 * const pixels = new Uint8Array(2 * 64).map((_, i) => (37 * i) % 256);
 * const about = { name: 'mine', split: 'test' as const, classes: [], licence: 'mine' };
 * const data = imageDataset({ ...about, image, pixels, labels: Int32Array.of(-1, -1) });
 * const { complexityCorrected } = await anomalyScores(createModel(config, 1), data);
 * console.log(complexityCorrected.length); // 2
 * ```
 */
export async function anomalyScores(
  flow: Model,
  data: DataSource,
  options: AnomalyOptions = {},
): Promise<AnomalyScores> {
  const { batchSize = 64, seed = 0, noise = { kind: 'uniform' }, background, reference } = options;
  checkCount('The batch size', batchSize);
  for (const model of [flow, background]) {
    if (model) checkImageSize(model.config, data.image, data.name);
  }
  const count = Math.min(options.count ?? data.length, data.length);
  checkCount('The number of images', count);
  const key = foldIn(randomKey(seed), 'dequantise');
  const size = dimensions(flow.config);
  const scores: AnomalyScores = {
    bitsPerDimension: new Float64Array(count),
    complexityCorrected: new Float64Array(count),
    scoreNorm: new Float64Array(count),
    ...(background && { likelihoodRatio: new Float64Array(count) }),
    ...(reference !== undefined && { typicality: new Float64Array(count) }),
  };
  for (let first = 0; first < count; first += batchSize) {
    options.signal?.throwIfAborted();
    const indices = Array.from({ length: Math.min(batchSize, count - first) }, (_, i) => first + i);
    const pixels = await pixelBatch(data, indices);
    const noisy = imagesWithNoise(pixels, indices, size, noise, key);
    const found = scoresOfBatch(flow, background, noisy);
    const compressed = await Promise.all(
      indices.map((_, i) => losslessBits(pixels.subarray(i * size, (i + 1) * size), data.image)),
    );
    indices.forEach((index, i) => {
      const bits = found.bits[i]!;
      scores.bitsPerDimension[index] = bits;
      scores.complexityCorrected[index] = bits - compressed[i]! / size;
      scores.scoreNorm[index] = found.norms[i]!;
      if (scores.likelihoodRatio) scores.likelihoodRatio[index] = bits - found.others![i]!;
      if (scores.typicality) scores.typicality[index] = Math.abs(bits - reference!);
    });
    options.onProgress?.((first + indices.length) / count);
    await new Promise(setImmediate);
  }
  return scores;
}

/** Bits per dimension and norms of the score; bits under the background model where there is one. */
function scoresOfBatch(flow: Model, background: Model | undefined, noisy: Float32Array) {
  const { channels, height, width } = flow.config.image;
  const size = dimensions(flow.config);
  return tidy(() => {
    const x = tf.tensor4d(noisy, [noisy.length / size, channels, height, width]);
    const { logProb, score } = logProbAndScore(flow, x);
    const nats = Array.from(logProb.dataSync());
    return {
      bits: nats.map((value) => (Math.log(128) - value / size) / Math.LN2),
      norms: tf.sqrt(tf.sum(tf.square(score), [1, 2, 3])).dataSync(),
      others: background && bitsPerDimension(background, x).dataSync(),
    };
  });
}

/** The bits of the shorter of a lossless WebP and a PNG file of an image (channels, height, width). */
async function losslessBits(pixels: Uint8Array, image: ImageSize): Promise<number> {
  const picture = pictureOf(pixels, image);
  const files = await Promise.all([
    picture.clone().webp({ lossless: true }).toBuffer(),
    picture.clone().png({ compressionLevel: 9 }).toBuffer(),
  ]);
  return 8 * Math.min(...files.map(({ length }) => length));
}
