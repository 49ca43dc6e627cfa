import { UserError } from '../../src/core/errors.js';
import { foldIn, randomKey, uniform } from '../../src/core/random.js';
import { tf, tidy } from '../../src/core/tf.js';
import { type ImageDataset, imagesTensor } from '../../src/data/index.js';
import {
  quantile,
  standardDeviation,
  standardErrorOfShare,
} from '../../src/evaluation/statistics.js';

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
      const squared = tf.sub(tf.add(own, theirs), tf.mul(products, 2));
      const chosen: tf.Tensor1D = tf.argMin(squared, 1);
      // Once more from the pair itself: the sum above rounds where images are nearly equal.
      const apart = tf.sum(tf.squaredDifference(clipped, tf.gather(images, chosen)), 1);
      return [chosen.dataSync() as Int32Array, apart.dataSync() as Float32Array] as const;
    });
    found.forEach((best, query) => {
      const distance = Math.sqrt(squares[query]! / size);
      if (distance >= best.distance) return;
      Object.assign(best, { distance, index: start + nearest[query]! });
    });
  }
  return found;
}

/** How many samples are nearer to a training image than most unseen images are. */
export interface NearShare {
  /** The distance below which the given share of unseen images lies. */
  yardstick: number;
  /** The share of samples that are nearer than that, from 0 to 1. */
  share: number;
  /** The standard error of the share: of the samples, and of the yardstick. */
  error: number;
}

/**
 * The share of samples that are nearer to their nearest training image than a given share of unseen
 * images is. Samples that are distributed like unseen images have that share; one above it may be a
 * sign of copies, or of smooth images, which are nearer to everything.
 *
 * The error has two parts, taken as independent: that of a share among so many samples, and how the
 * share moves with the yardstick, by a bootstrap of 200 draws over the unseen images, or over groups
 * of them.
 *
 * @param samples the distance of each sample to its nearest training image
 * @param unseen the same of images that the model has not seen
 * @param options `quantile`: the share of unseen images that are nearer than the yardstick, 0.05 by
 *   default; `groups`: of each unseen image what it shares with others, such as the name of an emoji that
 *   several vendors have drawn: groups are drawn as wholes
 * @throws UserError without samples or unseen images, or for another number of groups than of unseen images
 */
export function nearShare(
  samples: readonly number[],
  unseen: readonly number[],
  options: { quantile?: number; groups?: readonly string[] } = {},
): NearShare {
  const { quantile: below = 0.05, groups } = options;
  if (samples.length === 0 || unseen.length === 0) {
    throw new UserError(
      `Distances of ${samples.length} samples and ${unseen.length} unseen images came`,
      'Expected some of both',
    );
  }
  if (groups && groups.length !== unseen.length) {
    throw new UserError(
      `${groups.length} groups came for ${unseen.length} unseen images`,
      'Expected the group of each image',
    );
  }
  const members = new Map<string, number[]>();
  for (const [i, distance] of unseen.entries()) {
    const group = groups?.[i] ?? String(i);
    members.set(group, [...(members.get(group) ?? []), distance]);
  }
  const sets = [...members.values()];
  const shareBelow = (limit: number) =>
    samples.filter((distance) => distance < limit).length / samples.length;
  const yardstick = quantile(unseen, below);
  const share = shareBelow(yardstick);
  const key = foldIn(randomKey(0), 'yardstick');
  const redrawn = Array.from({ length: 200 }, (_, draw) => {
    const places = uniform(foldIn(key, draw), sets.length);
    const drawn = Array.from(places, (place) => sets[Math.floor(place * sets.length)] ?? []);
    return shareBelow(quantile(drawn.flat(), below));
  });
  const error = Math.hypot(standardErrorOfShare(share, samples.length), standardDeviation(redrawn));
  return { yardstick, share, error };
}
