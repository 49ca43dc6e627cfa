import { foldIn, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { pictureOf } from '../data/encoded/image-file.js';
import { type DataSource, pixelBatch } from '../data/index.js';
import type { ImageSize } from '../data/source.js';
import { logProbAndScore } from '../flow/density.js';
import { checkImageSize, dimensions, type Model } from '../flow/model.js';
import type { Noise } from '../training/batches/index.js';
import { bitsPerDimension, imagesWithNoise } from './bits-per-dimension.js';

export interface AnomalyOptions {
  /** Of the images to score. Default all. */
  indices?: readonly number[];
  /** That of the training, a draw of which each image gets, by its number. Default uniform. */
  noise?: Noise;
  /** A model trained on mutated pixels, for `likelihoodRatio`. */
  background?: Model | undefined;
  /** Mean bits per dimension of images as those of the training, for `typicality`. */
  reference?: number | undefined;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/** How strange an image is, higher where it is stranger; all but the last in bits per dimension. */
export interface AnomalyScores {
  /**
   * −log₂ p, which fails where outliers are simpler than what the flow was trained on (Nalisnick et al. 2018,
   * arXiv 1810.09136).
   */
  bitsPerDimension: number;
  /** Less the bits of a lossless WebP or PNG, whichever is shorter (Serrà et al. 2019, arXiv 1909.11480). */
  complexityCorrected: number;
  /** Less the bits of a `background` model (Ren et al. 2019, arXiv 1906.02845). */
  likelihoodRatio?: number;
  /** How far the bits are from `reference` (Nalisnick et al. 2019, arXiv 1906.02994, a batch of one image). */
  typicality?: number;
  /** The length of ∇ log p(x), nats per unit of x (Grathwohl et al. 2019, arXiv 1912.03263). */
  scoreNorm: number;
}

/** Images evaluated together. */
const batchSize = 64;

/**
 * How strange images are to a flow. Conditional models see no label.
 *
 * @returns scores of each image, in the order of `indices`
 * @throws UserError where the data are latents, or do not fit a model
 */
export async function anomalyScores(
  flow: Model,
  data: DataSource,
  options: AnomalyOptions = {},
): Promise<AnomalyScores[]> {
  const { noise = { kind: 'uniform' }, background, reference, onProgress } = options;
  const all = options.indices ?? Array.from({ length: data.length }, (_, i) => i);
  for (const model of [flow, background]) {
    if (model) checkImageSize(model.config, data.image, data.name);
  }
  const { channels, height, width } = data.image;
  const size = dimensions(flow.config);
  const rows: AnomalyScores[] = [];
  for (let first = 0; first < all.length; first += batchSize) {
    const indices = all.slice(first, first + batchSize);
    const pixels = await pixelBatch(data, indices);
    const compressed = await Promise.all(
      indices.map((_, i) => losslessBits(pixels.subarray(i * size, (i + 1) * size), data.image)),
    );
    const key = foldIn(randomKey(0), 'dequantise');
    const noisy = imagesWithNoise(pixels, indices, size, noise, key);
    const { logProb, norms, others } = tidy(() => {
      const x = tf.tensor4d(noisy, [indices.length, channels, height, width]);
      const { logProb, score } = logProbAndScore(flow, x);
      return {
        logProb: logProb.dataSync(),
        norms: tf.sqrt(tf.sum(tf.square(score), [1, 2, 3])).dataSync(),
        others: background && bitsPerDimension(background, x).dataSync(),
      };
    });
    indices.forEach((_, i) => {
      const bits = (Math.log(128) - logProb[i]! / size) / Math.LN2;
      rows.push({
        bitsPerDimension: bits,
        complexityCorrected: bits - compressed[i]! / size,
        ...(others && { likelihoodRatio: bits - others[i]! }),
        ...(reference !== undefined && { typicality: Math.abs(bits - reference) }),
        scoreNorm: norms[i]!,
      });
    });
    onProgress?.(rows.length / all.length);
    await new Promise(setImmediate);
  }
  return rows;
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
