import {
  CholeskyDecomposition,
  covariance as covarianceOf,
  EigenvalueDecomposition,
  Matrix,
} from 'ml-matrix';
import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';

/** Features of images, one row an image: a tensor, or the same on the host. */
export type Features =
  | tf.Tensor2D
  | { data: ArrayLike<number>; shape: readonly [images: number, features: number] };

/** Mean and covariance of features, in double precision; all that a Fréchet distance needs. */
export interface FeatureStatistics {
  /** The number of images. */
  count: number;
  mean: Float64Array;
  /** Row by row; the unbiased estimate, divided by count − 1. */
  covariance: Float64Array;
}

/**
 * Mean and covariance of features.
 * @throws UserError for fewer than two images, or a feature that is not finite
 *
 * @example
 * ```ts
 * import { featureStatistics } from 'tarflow';
 *
 * const { mean, covariance } = featureStatistics({ data: [0, 0, 2, 4], shape: [2, 2] });
 * console.log(mean, covariance); // [1, 2] and [2, 4, 4, 8]
 * ```
 */
export function featureStatistics(features: Features): FeatureStatistics {
  const [count, width] = features.shape;
  if (count < 2) {
    throw new UserError(
      `The statistics of features take two images or more, got ${count}`,
      'Give more images',
    );
  }
  const values = features instanceof tf.Tensor ? features.dataSync() : features.data;
  for (let i = 0; i < count * width; i++) {
    if (Number.isFinite(values[i])) continue;
    throw new UserError(
      `The features of image ${Math.floor(i / width)} are not finite`,
      'Leave images out that are not, and say how many they were',
    );
  }
  const rows = Matrix.from1DArray(count, width, values);
  const mean = Float64Array.from(rows.mean('column'));
  const covariance = Float64Array.from(covarianceOf(rows).to1DArray());
  return { count, mean, covariance };
}

/**
 * The Fréchet distance between two sets of features, each taken as a Gaussian: |μ₁ − μ₂|² +
 * tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) (Dowson and Landau 1982; Heusel et al. 2017). Squared, as the field
 * quotes it; exact, in double precision.
 *
 * It is "FID" only with the features of the Inception network of that paper, so name the network.
 * And it is biased upwards when images are few: quote beside it the distance between two sets of
 * real images of the same size.
 *
 * @param a features (images, width), or their statistics
 * @param b likewise, of the same width
 * @throws UserError as {@link featureStatistics}, and for features of two widths
 *
 * @example
 * ```ts
 * import { frechetDistance } from 'tarflow';
 *
 * const a = { data: [0, 1, 2], shape: [3, 1] } as const;
 * const b = { data: [3, 4, 5], shape: [3, 1] } as const;
 * console.log(frechetDistance(a, b)); // 9: equal spread, means 3 apart
 * ```
 */
export function frechetDistance(
  a: Features | FeatureStatistics,
  b: Features | FeatureStatistics,
): number {
  const [first, second] = [statisticsOf(a), statisticsOf(b)];
  const width = first.mean.length;
  if (second.mean.length !== width) {
    throw new UserError(
      `Features of width ${width} and of width ${second.mean.length} came`,
      'Expected those of one network',
    );
  }
  const covariances = [first, second].map(({ covariance }) =>
    Matrix.from1DArray(width, width, covariance),
  ) as [Matrix, Matrix];
  let distance = covariances[0].trace() + covariances[1].trace();
  first.mean.forEach((mean, j) => {
    distance += (mean - (second.mean[j] as number)) ** 2;
  });
  // With Σ₁ = RRᵀ the eigenvalues of Σ₁Σ₂ are those of RᵀΣ₂R, which is symmetric.
  const root = rootOf(covariances[0]);
  const product = root.transpose().mmul(covariances[1]).mmul(root);
  for (const eigenvalue of symmetric(product).realEigenvalues) {
    distance -= 2 * Math.sqrt(Math.max(0, eigenvalue));
  }
  return Math.max(0, distance);
}

function statisticsOf(given: Features | FeatureStatistics): FeatureStatistics {
  return 'covariance' in given ? given : featureStatistics(given);
}

/** A matrix R with RRᵀ = Σ. */
function rootOf(matrix: Matrix): Matrix {
  const cholesky = new CholeskyDecomposition(matrix);
  if (cholesky.isPositiveDefinite()) return cholesky.lowerTriangularMatrix;
  // Σ is singular: there are fewer images than features, or a feature never changes.
  const { realEigenvalues, eigenvectorMatrix } = symmetric(matrix);
  return eigenvectorMatrix.mulRowVector(
    realEigenvalues.map((eigenvalue) => Math.sqrt(Math.max(0, eigenvalue))),
  );
}

function symmetric(matrix: Matrix): EigenvalueDecomposition {
  return new EigenvalueDecomposition(matrix, { assumeSymmetric: true });
}
