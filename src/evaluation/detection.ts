import { UserError } from '../core/errors.js';
import { foldIn, integers, randomKey } from '../core/random.js';
import type { ResamplingOptions } from './resampling-error.js';
import { standardDeviation } from './statistics.js';

/** A measure of how well scores, higher where an image is stranger, tell outliers from inliers. */
export type DetectionMeasure = (inliers: ArrayLike<number>, outliers: ArrayLike<number>) => number;

/**
 * The share of pairs of an inlier and an outlier in which the outlier scores higher, equal ones counted
 * half: the area under the receiver operating characteristic. ½ is chance, 1 is perfect.
 *
 * @throws UserError where there are no inliers or no outliers, and for a score that is not a number
 */
export const auroc: DetectionMeasure = (inliers, outliers) => {
  let area = 0;
  let before = { found: 0, mistaken: 0 };
  for (const now of crossings(inliers, outliers)) {
    area += ((now.mistaken - before.mistaken) * (now.found + before.found)) / 2;
    before = now;
  }
  return area / (inliers.length * outliers.length);
};

/**
 * The mean precision of finding outliers, AUPR: over the thresholds at which more of them are found, as in
 * scikit-learn. Chance is the share of the outliers among all images.
 *
 * @throws UserError as {@link auroc}
 */
export const averagePrecision: DetectionMeasure = (inliers, outliers) => {
  let [sum, before] = [0, 0];
  for (const { found, mistaken } of crossings(inliers, outliers)) {
    sum += ((found - before) * found) / (found + mistaken);
    before = found;
  }
  return sum / outliers.length;
};

/**
 * The share of the inliers that are taken for outliers where 95 % of the outliers are found, FPR95.
 * @throws UserError as {@link auroc}
 */
export const falsePositiveRate: DetectionMeasure = (inliers, outliers) => {
  const enough = crossings(inliers, outliers).find(
    ({ found }) => 20 * found >= 19 * outliers.length,
  );
  return (enough?.mistaken ?? inliers.length) / inliers.length;
};

/**
 * The standard error of a measure by the bootstrap: images of both sets are drawn anew, with replacement.
 * @throws UserError as the measure
 */
export function detectionError(
  measure: DetectionMeasure,
  inliers: ArrayLike<number>,
  outliers: ArrayLike<number>,
  { draws = 100, seed = 0 }: ResamplingOptions = {},
): number {
  const key = foldIn(randomKey(seed), 'detection');
  const drawn = (scores: ArrayLike<number>, set: string, draw: number): Float64Array => {
    const rows = integers(foldIn(foldIn(key, set), draw), scores.length, 0, scores.length);
    return Float64Array.from(rows, (row) => scores[row]!);
  };
  const values = Array.from({ length: draws }, (_, draw) =>
    measure(drawn(inliers, 'inliers', draw), drawn(outliers, 'outliers', draw)),
  );
  return standardDeviation(values);
}

/**
 * How many outliers are found and inliers mistaken for them, from the highest threshold down; images of one
 * score cross it together.
 */
function crossings(
  inliers: ArrayLike<number>,
  outliers: ArrayLike<number>,
): { found: number; mistaken: number }[] {
  const [inner, outer] = [inliers, outliers].map((scores) => Float64Array.from(scores).sort());
  if (!inner?.length || !outer?.length || [...inner, ...outer].some(Number.isNaN)) {
    throw new UserError(
      `${inliers.length} scores of inliers and ${outliers.length} of outliers came, or one is NaN`,
      'Expected numbers, one or more of each',
    );
  }
  let [i, o] = [inner.length, outer.length];
  const crossed = [];
  while (i > 0 || o > 0) {
    const threshold = Math.max(inner[i - 1] ?? -Infinity, outer[o - 1] ?? -Infinity);
    while (inner[i - 1] === threshold) i--;
    while (outer[o - 1] === threshold) o--;
    crossed.push({ found: outer.length - o, mistaken: inner.length - i });
  }
  return crossed;
}
