import { UserError } from '../../backend/errors.js';
import { foldIn, randomKey, uniform } from '../../backend/random.js';
import { standardDeviation } from '../statistics.js';
import { type FeatureRows, type Features, finiteRows } from './features.js';

export interface ResamplingOptions {
  /** How often images are drawn anew. Default 20. */
  draws?: number;
  /** Of the draws. Default 0. */
  seed?: number;
}

/**
 * The standard error of a measure of a set of images, by the bootstrap (Efron 1979): as many images are
 * drawn from the set with replacement, again and again; the deviation of the measure over the draws is
 * taken. Doubled images move some measures, a Fréchet distance upwards; the deviation is hardly touched.
 *
 * @param features (images, width), all finite
 * @throws UserError for fewer than two draws, and as the measure does
 */
export function resamplingError(
  features: Features,
  measure: (drawn: FeatureRows) => number,
  { draws = 20, seed = 0 }: ResamplingOptions = {},
): number {
  if (!Number.isInteger(draws) || draws < 2) {
    throw new UserError(`draws is ${draws}`, 'Expected a whole number of at least 2');
  }
  const { data, shape } = finiteRows(features);
  const [count, width] = shape;
  const key = foldIn(randomKey(seed), 'resampling');
  const values = Array.from({ length: draws }, (_, draw) => {
    const drawn = new Float32Array(count * width);
    uniform(foldIn(key, draw), count).forEach((share, place) => {
      const row = Math.min(count - 1, Math.floor(share * count));
      drawn.set(data.subarray(row * width, (row + 1) * width), place * width);
    });
    return measure({ data: drawn, shape: [count, width] });
  });
  return standardDeviation(values);
}
