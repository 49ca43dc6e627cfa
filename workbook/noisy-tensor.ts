import type { RandomKey } from '../src/core/random.js';
import { tf } from '../src/core/tf.js';
import { type ImageDataset, pixelBatch } from '../src/data/index.js';
import { type Noise, noisyImages } from '../src/training/batches/index.js';

/**
 * Images of a data set with noise, as training sees them: (batch, channels, height, width), which the
 * caller owns. The same key gives the same noise.
 *
 * @throws RangeError for an index outside the data set
 */
export function noisyTensor(
  data: ImageDataset,
  indices: readonly number[],
  noise: Noise,
  key: RandomKey,
): tf.Tensor4D {
  const { channels, height, width } = data.image;
  const values = noisyImages(pixelBatch(data, indices), noise, key);
  return tf.tensor4d(values, [indices.length, channels, height, width]);
}
