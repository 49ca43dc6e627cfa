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
  /** That of the training, which images get here, too. Default uniform. */
  noise?: Noise;
  /** Of the noise: an image's depends on the seed and its number alone. Default 0. */
  seed?: number;
  /** A model trained on mutated pixels (the training setting `mutate`), for `likelihoodRatio`. */
  background?: Model | undefined;
  /** Mean bits per dimension of images as those of the training, for `typicality`. */
  reference?: number | undefined;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/** By name of the score, a number for each image. */
export type AnomalyScores = Partial<Record<string, Float64Array>>;

/** Images evaluated together. */
const batchSize = 64;

/**
 * How strange images are to a flow, higher where they are stranger:
 *
 * - `bitsPerDimension`: −log₂ p, which fails where outliers are simpler than what the flow was trained on
 *   (Nalisnick et al. 2018, arXiv 1810.09136);
 * - `complexityCorrected`: less the bits of the image as a lossless WebP or PNG, whichever is shorter (Serrà
 *   et al. 2019, arXiv 1909.11480);
 * - `likelihoodRatio`, with `background`: less the bits of that model (Ren et al. 2019, arXiv 1906.02845);
 * - `typicality`, with `reference`: how far the bits are from it, either way (Nalisnick et al. 2019, arXiv
 *   1906.02994, with one image in a batch);
 * - `scoreNorm`: the length of ∇ log p(x), nats per unit of x (Grathwohl et al. 2019, arXiv 1912.03263).
 *
 * Those but the last are in bits per dimension. Conditional models see no label.
 *
 * @throws UserError where the data are latents, or do not fit a model
 *
 * @example
 * ```ts
 * import { createModel, startEngine } from 'tarflow';
 * import { imageDataset } from 'tarflow/data';
 * import { anomalyScores } from 'tarflow/evaluation';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { classes: 0, blocks: 2, hiddenLayers: 1, hiddenUnits: 32 };
 * const flow = createModel({ kind: 'maf', image, ...size }, 1);
 * const pixels = new Uint8Array(2 * 64).map((_, i) => (37 * i) % 256);
 * const about = { name: 'mine', split: 'test' as const, classes: [], licence: 'mine' };
 * const data = imageDataset({ ...about, image, pixels, labels: Int32Array.of(-1, -1) });
 * console.log(await anomalyScores(flow, data)); // two numbers for each score
 * ```
 */
export async function anomalyScores(
  flow: Model,
  data: DataSource,
  { noise = { kind: 'uniform' }, seed = 0, background, reference, onProgress }: AnomalyOptions = {},
): Promise<AnomalyScores> {
  for (const model of [flow, background]) {
    if (model) checkImageSize(model.config, data.image, data.name);
  }
  const { channels, height, width } = data.image;
  const size = dimensions(flow.config);
  const rows: Record<string, number>[] = [];
  for (let first = 0; first < data.length; first += batchSize) {
    const count = Math.min(batchSize, data.length - first);
    const indices = Array.from({ length: count }, (_, i) => first + i);
    const pixels = await pixelBatch(data, indices);
    const compressed = await Promise.all(
      indices.map((_, i) => losslessBits(pixels.subarray(i * size, (i + 1) * size), data.image)),
    );
    const key = foldIn(randomKey(seed), 'dequantise');
    const noisy = imagesWithNoise(pixels, indices, size, noise, key);
    const { logProb, norms, others } = tidy(() => {
      const x = tf.tensor4d(noisy, [count, channels, height, width]);
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
    onProgress?.(rows.length / data.length);
    await new Promise(setImmediate);
  }
  const names = Object.keys(rows[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, Float64Array.from(rows, (row) => row[name]!)]),
  );
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
