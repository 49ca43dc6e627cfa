import { type DoubleMatrix, doubleProduct, symmetricEigen } from '@tarflow/graph';
import {
  checkWidths,
  type FeatureMoments,
  type Features,
  featureStatistics,
} from './feature-statistics.js';

/**
 * The Fréchet distance between two sets of features, each taken as a Gaussian: |μ₁ − μ₂|² +
 * tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) (Dowson and Landau 1982; Heusel et al. 2017). Squared, as the field
 * quotes it; in double precision, and right where there are fewer images than features.
 *
 * It is "FID" only with the features of the Inception network of that paper, so name the network.
 * And it is biased upwards when images are few: quote beside it the distance between two sets of
 * real images of the same size.
 *
 * @param a features (images, width), or their mean and covariance
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
  a: Features | FeatureMoments,
  b: Features | FeatureMoments,
): number {
  const [first, second] = [momentsOf(a), momentsOf(b)];
  const width = first.mean.length;
  checkWidths(width, second.mean.length);
  const ours = { rows: width, columns: width, data: first.covariance };
  const theirs = { rows: width, columns: width, data: second.covariance };
  let distance = trace(ours) + trace(theirs);
  first.mean.forEach((mean, j) => {
    distance += (mean - second.mean[j]!) ** 2;
  });
  // With Σ₁ = RRᵀ the eigenvalues of Σ₁Σ₂ are those of RᵀΣ₂R, which is symmetric.
  const root = rootOf(ours);
  if (root.columns === 0) return distance;
  const product = doubleProduct(root, doubleProduct(theirs, root), { transposeA: true });
  for (const eigenvalue of withoutRounding(symmetricEigen(product, { vectors: false }).values)) {
    distance -= 2 * Math.sqrt(eigenvalue);
  }
  return Math.max(0, distance);
}

function momentsOf(set: Features | FeatureMoments): FeatureMoments {
  return 'covariance' in set ? set : featureStatistics(set);
}

function trace({ columns, data }: DoubleMatrix): number {
  let sum = 0;
  for (let i = 0; i < columns; i++) sum += data[i * columns + i]!;
  return sum;
}

/** A matrix R with RRᵀ = Σ, and as many columns as Σ has rank. */
function rootOf(matrix: DoubleMatrix): DoubleMatrix {
  const { values, vectors } = symmetricEigen(matrix);
  const kept = withoutRounding(values);
  const [rows, rank] = [matrix.rows, kept.length];
  const data = new Float64Array(rows * rank);
  // The largest eigenvalues stand last.
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < rank; j++) {
      const vector = vectors.data[i * rows + rows - rank + j]!;
      data[i * rank + j] = vector * Math.sqrt(kept[j]!);
    }
  }
  return { rows, columns: rank, data };
}

/**
 * The positive ones of ascending eigenvalues, without those that rounding makes of 0: of an error of
 * 1e-16 the root would be 1e-8, and there may be thousands of them.
 */
function withoutRounding(ascending: Float64Array): Float64Array {
  const largest = ascending.at(-1) ?? 0;
  const least = ascending.length * Number.EPSILON * largest;
  return ascending.filter((value) => value > least);
}
