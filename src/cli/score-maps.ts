import { foldIn, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { type DataSource, pixelBatch, toUnitRange } from '../data/index.js';
import { imagesWithNoise } from '../evaluation/bits-per-dimension.js';
import { quantile } from '../evaluation/statistics.js';
import { logProbMap } from '../flow/density-map.js';
import type { Model } from '../flow/model.js';
import { saveImageGrid } from '../show/image-grid.js';
import type { Noise } from '../training/batches/index.js';

/** Some images of a source, by their numbers, and what a user calls them. */
export interface ScoredSet {
  name: string;
  data: DataSource;
  indices: readonly number[];
}

/**
 * Writes the first images of each set into a picture, and below each where it is strange to the model: what
 * patches contribute to −log p, from black for the least to white for the most of all that are shown.
 */
export async function saveScoreMaps(
  model: Model,
  noise: Noise,
  sets: readonly ScoredSet[],
  file: string,
): Promise<void> {
  const columns = Math.min(8, ...sets.map(({ indices }) => indices.length));
  const shown = sets.map(({ data, indices }) => ({ data, indices: indices.slice(0, columns) }));
  const read = await Promise.all(shown.map(({ data, indices }) => pixelBatch(data, indices)));
  const { channels, height, width } = model.config.image;
  const imagesOf = (values: Float32Array) =>
    tf.tensor4d(values, [columns, channels, height, width]);
  const key = foldIn(randomKey(0), 'dequantise');
  const grid = tidy(() => {
    const nats = read.map((pixels, i) => {
      const noisy = imagesWithNoise(pixels, shown[i]!.indices, pixels.length / columns, noise, key);
      return tf.mean(logProbMap(model, imagesOf(noisy)), 1, true);
    });
    const all = nats.flatMap((map) => Array.from(map.dataSync()));
    const [least, most] = [quantile(all, 0.01), quantile(all, 0.99)];
    const rows = read.flatMap((pixels, i) => {
      const share = tf.div(tf.sub(most, nats[i]!), most - least);
      // From black through red and yellow to white.
      const colours = [0, 1, 2].map((at) => tf.clipByValue(tf.sub(tf.mul(share, 3), at), 0, 1));
      const images = tf.tile(imagesOf(toUnitRange(pixels)), [1, 3 / channels, 1, 1]);
      return [images, tf.sub(tf.mul(tf.concat(colours, 1), 2), 1)] as tf.Tensor4D[];
    });
    return tf.concat(rows);
  });
  const rowLabels = sets.flatMap(({ name }) => [name, '']);
  await saveImageGrid(grid, file, { columns, rowLabels }).finally(() => grid.dispose());
}
