import { tf, tidy } from '../backend/tf.js';
import { type ImageDataset, imagesTensor } from '../data/index.js';

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
 * @throws RangeError for a count above the number of images
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
    const [nearest, squares] = tidy(() => {
      const images = tf.reshape(imagesTensor(data, indices), [indices.length, size]);
      const clipped = tf.reshape(tf.clipByValue(queries, -1, 1), [-1, size]);
      const own = tf.sum(tf.square(clipped), 1, true);
      const theirs = tf.reshape(tf.sum(tf.square(images), 1), [1, indices.length]);
      const products = tf.matMul(clipped, images, false, true);
      const chosen = tf.argMin(tf.sub(tf.add(own, theirs), tf.mul(products, 2)), 1) as tf.Tensor1D;
      // Once more from the pair itself: the sum above rounds where images are nearly equal.
      const apart = tf.sum(tf.squaredDifference(clipped, tf.gather(images, chosen)), 1);
      return [chosen.dataSync() as Int32Array, apart.dataSync() as Float32Array] as const;
    });
    found.forEach((best, query) => {
      const distance = Math.sqrt((squares[query] as number) / size);
      if (distance >= best.distance) return;
      Object.assign(best, { distance, index: start + (nearest[query] as number) });
    });
  }
  return found;
}
