import { UserError } from '../core/errors.js';
import { foldIn, integers, randomKey } from '../core/random.js';
import type { ResamplingOptions } from './resampling-error.js';
import { standardDeviation } from './statistics.js';

/** How many outliers and inliers score at least as high as a threshold. */
interface Crossing {
  found: number;
  mistaken: number;
}

/** Scores in ascending order. */
interface Scores {
  inliers: Float64Array;
  outliers: Float64Array;
}

/**
 * The share of pairs of an inlier and an outlier in which the outlier scores higher, pairs of equal scores
 * counted half: the area under the receiver operating characteristic. ½ is chance, 1 is perfect.
 *
 * @param inliers scores, higher where an image is stranger
 * @throws UserError where there are none of either, and for a score that is not a number
 */
export function auroc(inliers: ArrayLike<number>, outliers: ArrayLike<number>): number {
  return measuresOf(sortedScores(inliers, outliers)).auroc;
}

/**
 * The mean precision of finding outliers, over the thresholds at which more of them are found, as
 * scikit-learn has it; AUPR. Chance is the share of the outliers among all images.
 *
 * @param inliers scores, higher where an image is stranger
 * @throws UserError as {@link auroc}
 */
export function averagePrecision(inliers: ArrayLike<number>, outliers: ArrayLike<number>): number {
  return measuresOf(sortedScores(inliers, outliers)).averagePrecision;
}

/**
 * The share of inliers that are taken for outliers at the threshold that finds so many outliers.
 *
 * @param inliers scores, higher where an image is stranger
 * @param found share of the outliers, above 0; 0.95 for FPR95
 * @throws UserError as {@link auroc}
 */
export function falsePositiveRate(
  inliers: ArrayLike<number>,
  outliers: ArrayLike<number>,
  found = 0.95,
): number {
  return measuresOf(sortedScores(inliers, outliers), found).falsePositiveRate;
}

/** How well a score tells outliers from inliers: see the functions of these names. */
export type DetectionMeasures = Record<'auroc' | 'averagePrecision' | 'falsePositiveRate', number>;

/**
 * {@link auroc}, {@link averagePrecision} and {@link falsePositiveRate} (of 95 % of the outliers), with the
 * standard error of each by the bootstrap: images of both sets are drawn anew, with replacement.
 *
 * @param inliers scores, higher where an image is stranger
 * @throws UserError as {@link auroc}
 *
 * @example
 * ```ts
 * import { detection } from 'tarflow/evaluation';
 *
 * const { values, standardErrors } = detection([0.1, 0.4, 0.2, 0.3], [0.9, 0.35, 0.8]);
 * console.log(values.auroc, standardErrors.auroc); // 11 of 12 pairs are in order
 * ```
 */
export function detection(
  inliers: ArrayLike<number>,
  outliers: ArrayLike<number>,
  { draws = 100, seed = 0 }: ResamplingOptions = {},
): { values: DetectionMeasures; standardErrors: DetectionMeasures } {
  const scores = sortedScores(inliers, outliers);
  const key = foldIn(randomKey(seed), 'detection');
  const drawn = Array.from({ length: draws }, (_, draw) =>
    measuresOf({
      inliers: resampled(scores.inliers, foldIn(foldIn(key, 'inliers'), draw)),
      outliers: resampled(scores.outliers, foldIn(foldIn(key, 'outliers'), draw)),
    }),
  );
  const error = (name: keyof DetectionMeasures) =>
    standardDeviation(drawn.map((measures) => measures[name]));
  return {
    values: measuresOf(scores),
    standardErrors: {
      auroc: error('auroc'),
      averagePrecision: error('averagePrecision'),
      falsePositiveRate: error('falsePositiveRate'),
    },
  };
}

function sortedScores(inliers: ArrayLike<number>, outliers: ArrayLike<number>): Scores {
  const sorted = (values: ArrayLike<number>, which: string): Float64Array => {
    const numbers = Float64Array.from(values);
    const broken = numbers.findIndex(Number.isNaN);
    if (numbers.length > 0 && broken < 0) return numbers.sort();
    const problem = broken < 0 ? `No ${which} came` : `The score of ${which} ${broken} is NaN`;
    throw new UserError(problem, 'Expected scores of one image or more of each kind');
  };
  return { inliers: sorted(inliers, 'inliers'), outliers: sorted(outliers, 'outliers') };
}

function resampled(values: Float64Array, key: ReturnType<typeof foldIn>): Float64Array {
  const { length } = values;
  return Float64Array.from(integers(key, length, 0, length), (i) => values[i]!).sort();
}

/** From the highest score down: images of one score cross a threshold together. */
function crossings({ inliers, outliers }: Scores): Crossing[] {
  let [inner, outer] = [inliers.length, outliers.length];
  const crossed: Crossing[] = [{ found: 0, mistaken: 0 }];
  while (inner > 0 || outer > 0) {
    const threshold = Math.max(inliers[inner - 1] ?? -Infinity, outliers[outer - 1] ?? -Infinity);
    while (inliers[inner - 1] === threshold) inner--;
    while (outliers[outer - 1] === threshold) outer--;
    crossed.push({ found: outliers.length - outer, mistaken: inliers.length - inner });
  }
  return crossed;
}

function measuresOf(scores: Scores, share = 0.95): DetectionMeasures {
  const [all, others] = [scores.outliers.length, scores.inliers.length];
  const crossed = crossings(scores);
  let [area, precision] = [0, 0];
  crossed.slice(1).forEach(({ found, mistaken }, i) => {
    const before = crossed[i]!;
    area += (mistaken - before.mistaken) * (found + before.found) * 0.5;
    precision += ((found - before.found) * found) / (found + mistaken);
  });
  // Shares as 0.95 are not exact.
  const enough = crossed.find(({ found }) => found >= share * all - 1e-9);
  return {
    auroc: area / (all * others),
    averagePrecision: precision / all,
    falsePositiveRate: (enough?.mistaken ?? others) / others,
  };
}
