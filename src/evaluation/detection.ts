import { UserError } from '../core/errors.js';
import { foldIn, integers, randomKey } from '../core/random.js';
import type { ResamplingOptions } from './resampling-error.js';
import { standardDeviation } from './statistics.js';

/** How well a score tells outliers from inliers, each measure with its standard error. */
export type Detection = Record<keyof Measures, { value: number; standardError: number }>;

interface Measures {
  /**
   * The share of pairs of an inlier and an outlier in which the outlier scores higher, equal ones counted
   * half: the area under the receiver operating characteristic. ½ is chance, 1 is perfect.
   */
  auroc: number;
  /**
   * The mean precision of finding outliers: over the thresholds at which more of them are found, as in
   * scikit-learn. Chance is the share of the outliers among all images.
   */
  aupr: number;
  /** The share of the inliers that are taken for outliers where 95 % of the outliers are found. */
  fpr95: number;
}

/**
 * How well scores, higher where an image is stranger, tell outliers from inliers. Errors are by the
 * bootstrap: images of both sets are drawn anew, with replacement.
 *
 * @throws UserError where there are no inliers or no outliers, and for a score that is not a number
 */
export function detection(
  inliers: ArrayLike<number>,
  outliers: ArrayLike<number>,
  { draws = 100, seed = 0 }: ResamplingOptions = {},
): Detection {
  const key = foldIn(randomKey(seed), 'detection');
  const drawn = (scores: ArrayLike<number>, set: string, draw: number): Float64Array => {
    const rows = integers(foldIn(foldIn(key, set), draw), scores.length, 0, scores.length);
    return Float64Array.from(rows, (row) => scores[row]!);
  };
  const measured = measures(inliers, outliers);
  const again = Array.from({ length: draws }, (_, draw) =>
    measures(drawn(inliers, 'inliers', draw), drawn(outliers, 'outliers', draw)),
  );
  const withError = (name: keyof Measures) => ({
    value: measured[name],
    standardError: standardDeviation(again.map((one) => one[name])),
  });
  return { auroc: withError('auroc'), aupr: withError('aupr'), fpr95: withError('fpr95') };
}

/** From the highest threshold down; images of one score cross it together. */
function measures(inliers: ArrayLike<number>, outliers: ArrayLike<number>): Measures {
  const [inner, outer] = [Float64Array.from(inliers).sort(), Float64Array.from(outliers).sort()];
  if (!inner.length || !outer.length || [...inner, ...outer].some(Number.isNaN)) {
    throw new UserError(
      `${inner.length} scores of inliers and ${outer.length} of outliers came, or one is NaN`,
      'Expected numbers, one or more of each',
    );
  }
  let [mistaken, found, area, precision, fpr95] = [0, 0, 0, 0, 1];
  while (found < outer.length || mistaken < inner.length) {
    const [i, o] = [inner.length - mistaken, outer.length - found];
    const threshold = Math.max(inner[i - 1] ?? -Infinity, outer[o - 1] ?? -Infinity);
    const before = { mistaken, found };
    while (inner[inner.length - mistaken - 1] === threshold) mistaken++;
    while (outer[outer.length - found - 1] === threshold) found++;
    area += ((mistaken - before.mistaken) * (found + before.found)) / 2;
    precision += ((found - before.found) * found) / (found + mistaken);
    if (20 * found >= 19 * outer.length) fpr95 = Math.min(fpr95, mistaken / inner.length);
  }
  const auroc = area / (inner.length * outer.length);
  return { auroc, aupr: precision / outer.length, fpr95 };
}
