import { UserError } from '../core/errors.js';
import { foldIn, randomKey, uniform } from '../core/random.js';
import { type FeatureRows, type Features, finiteRows } from './feature-statistics.js';
import { standardDeviation } from './statistics.js';

export interface ResamplingOptions {
  /** How often images are drawn anew. Default 100. */
  draws?: number;
  /** Of the draws. Default 0. */
  seed?: number;
}

/**
 * The standard error of a measure of a set of images, by the bootstrap (Efron 1979): as many images are
 * drawn from the set with replacement, again and again, and the deviation of the measure over the draws
 * is taken. Of several sets the same rows are drawn, so that the difference of two sets of images from
 * the same noise has the error of a paired one.
 *
 * A Fréchet distance is quadratic in what the sets differ by: near its floor it spreads more over the
 * draws than over new images, up to √3 times, and the error told is too large there. How well the images
 * are known that it is measured from is not in it.
 *
 * @param sets features (images, width), all finite; as many images in each set
 * @param measure of the drawn rows of each set
 * @throws UserError for no sets, sets of different numbers of images or fewer than two draws, and as the
 *   measure does
 */
export function resamplingError(
  sets: readonly Features[],
  measure: (...drawn: FeatureRows[]) => number,
  { draws = 100, seed = 0 }: ResamplingOptions = {},
): number {
  if (!Number.isInteger(draws) || draws < 2) {
    throw new UserError(`draws is ${draws}`, 'Expected a whole number of at least 2');
  }
  const rows = sets.map(finiteRows);
  const counts = [...new Set(rows.map(({ shape }) => shape[0]))];
  const [count] = counts;
  if (count === undefined || counts.length > 1) {
    throw new UserError(
      `Sets of ${counts.join(' and ') || 'no'} images came`,
      'Expected one set, or several of as many images in the same order',
    );
  }
  const key = foldIn(randomKey(seed), 'resampling');
  const values = Array.from({ length: draws }, (_, draw) => {
    const chosen = Int32Array.from(uniform(foldIn(key, draw), count), (share) =>
      Math.min(count - 1, Math.floor(share * count)),
    );
    return measure(...rows.map((set) => chosenRows(set, chosen)));
  });
  return standardDeviation(values);
}

function chosenRows({ data, shape }: FeatureRows, chosen: Int32Array): FeatureRows {
  const width = shape[1];
  const drawn = new Float32Array(chosen.length * width);
  chosen.forEach((row, place) => {
    drawn.set(data.subarray(row * width, (row + 1) * width), place * width);
  });
  return { data: drawn, shape: [chosen.length, width] };
}
