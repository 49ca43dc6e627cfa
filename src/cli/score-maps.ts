import { foldIn, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { type ImageDataset, imagesTensor, pixelBatch } from '../data/index.js';
import { imagesWithNoise } from '../evaluation/bits-per-dimension.js';
import { quantile } from '../evaluation/statistics.js';
import { logProbMap } from '../flow/density-map.js';
import { dimensions, type Model } from '../flow/model.js';
import { saveImageGrid } from '../show/image-grid.js';
import type { Noise } from '../training/batches/index.js';

/** Images of a set that are shown. */
const shown = 8;

/**
 * Writes the first images of sets into a picture, and beside each where it is strange to the model: what
 * patches contribute to −log p, from black for the least to white for the most of all that are shown.
 */
export async function saveScoreMaps(
  model: Model,
  noise: Noise,
  seed: number,
  sets: readonly ImageDataset[],
  file: string,
): Promise<void> {
  const key = foldIn(randomKey(seed), 'dequantise');
  const { channels, height, width } = model.config.image;
  const pairs = sets.map((set) => {
    const indices = Array.from({ length: Math.min(shown, set.length) }, (_, i) => i);
    const size = dimensions(model.config);
    const noisy = imagesWithNoise(pixelBatch(set, indices), indices, size, noise, key);
    return tidy(() => {
      const x = tf.tensor4d(noisy, [indices.length, channels, height, width]);
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
        const both = tf.stack([pictures, heat], 1);
        const rows: tf.Tensor4D = tf.reshape(both, [-1, 3, height, width]);
        // White where a set has fewer images.
        const free = 2 * shown - rows.shape[0];
        return tf.concat([rows, tf.ones([free, 3, height, width])], 0);
      }),
      0,
    ),
  );
  const rowLabels = sets.map(({ name, split }) => `${name} ${split}`);
  await saveImageGrid(grid, file, { columns: 2 * shown, rowLabels }).finally(() =>
    tf.dispose([grid, ...pairs.flatMap(({ images, nats }) => [images, nats])]),
  );
}
