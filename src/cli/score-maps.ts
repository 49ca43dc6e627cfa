import { foldIn, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { type ImageDataset, imagesTensor, pixelBatch } from '../data/index.js';
import { imagesWithNoise } from '../evaluation/bits-per-dimension.js';
import { quantile } from '../evaluation/statistics.js';
import { logProbMap } from '../flow/density-map.js';
import { dimensions, type Model } from '../flow/model.js';
import { saveImageGrid } from '../show/image-grid.js';
import type { Noise } from '../training/batches/index.js';

/**
 * Writes some images of each set into a picture, and beside each where it is strange to the model: what
 * patches contribute to −log p, from black for the least to white for the most of all that are shown.
 */
export async function saveScoreMaps(
  model: Model,
  noise: Noise,
  seed: number,
  sets: readonly ImageDataset[],
  file: string,
): Promise<void> {
  const shown = Math.min(8, ...sets.map(({ length }) => length));
  const key = foldIn(randomKey(seed), 'dequantise');
  const { channels, height, width } = model.config.image;
  const pairs = sets.map((set) => {
    const indices = Array.from({ length: shown }, (_, i) => Math.floor((i * set.length) / shown));
    const pixels = pixelBatch(set, indices);
    const noisy = imagesWithNoise(pixels, indices, dimensions(model.config), noise, key);
    return tidy(() => {
      const x = tf.tensor4d(noisy, [shown, channels, height, width]);
      const nats: tf.Tensor4D = tf.mean(tf.neg(logProbMap(model, x)), 1, true);
      return { images: imagesTensor(set, indices), nats };
    });
  });
  const all = pairs.flatMap(({ nats }) => Array.from(nats.dataSync()));
  const [least, most] = [quantile(all, 0.01), quantile(all, 0.99)];
  const grid = tidy(() =>
    tf.concat(
      pairs.map(({ images, nats }) => {
        const share = tf.div(tf.sub(nats, least), most - least);
        // From black through red and yellow to white.
        const colours = [0, 1, 2].map((i) => tf.clipByValue(tf.sub(tf.mul(share, 3), i), 0, 1));
        const heat: tf.Tensor4D = tf.sub(tf.mul(tf.concat(colours, 1), 2), 1);
        const pictures = channels === 1 ? tf.tile(images, [1, 3, 1, 1]) : images;
        const rows = tf.stack([pictures, heat], 1);
        return tf.reshape(rows, [-1, 3, height, width]) as tf.Tensor4D;
      }),
    ),
  );
  const rowLabels = sets.map(({ name, split }) => `${name} ${split}`);
  await saveImageGrid(grid, file, { columns: 2 * shown, rowLabels }).finally(() =>
    tf.dispose([grid, ...pairs.flatMap(({ images, nats }) => [images, nats])]),
  );
}
