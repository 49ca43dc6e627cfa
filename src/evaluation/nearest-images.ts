import { tf } from '../backend/tf.js';
import type { ImageDataset } from '../data/index.js';
import { imagesTensor } from '../data/index.js';

/** The image of a data set that is nearest to a query. */
export interface Neighbour {
  index: number;
  /** The root mean square difference of pixels on the scale [−1, 1]. */
  distance: number;
}

const inOnePass = 5000;

/**
 * For each query its nearest image among the first ones of a data set, by the root mean square
 * difference of pixels. Queries are clipped to [−1, 1] first, as a picture file would.
 *
 * @param queries (batch, channels, height, width); not disposed
 * @param count how many images to look at; default: all
 */
export function nearestImages(
  queries: tf.Tensor4D,
  data: ImageDataset,
  count = data.length,
): Neighbour[] {
  const size = queries.size / queries.shape[0];
  const found = Array.from({ length: queries.shape[0] }, (): Neighbour => {
    return { index: -1, distance: Number.POSITIVE_INFINITY };
  });
  for (let start = 0; start < count; start += inOnePass) {
    const indices = Array.from({ length: Math.min(inOnePass, count - start) }, (_, i) => start + i);
    const [nearest, squares] = tf.tidy(() => {
      const images = tf.reshape(imagesTensor(data, indices), [indices.length, size]);
      const clipped = tf.reshape(tf.clipByValue(queries, -1, 1), [-1, size]);
      const own = tf.sum(tf.square(clipped), 1, true);
      const theirs = tf.reshape(tf.sum(tf.square(images), 1), [1, indices.length]);
      const products = tf.matMul(clipped, images, false, true);
      const apart = tf.sub(tf.add(own, theirs), tf.mul(products, 2));
      return [tf.argMin(apart, 1).dataSync(), tf.min(apart, 1).dataSync()];
    }) as [Int32Array, Float32Array];
    found.forEach((best, query) => {
      const distance = Math.sqrt(Math.max(0, squares[query] as number) / size);
      if (distance >= best.distance) return;
      Object.assign(best, { distance, index: start + (nearest[query] as number) });
    });
  }
  return found;
}
