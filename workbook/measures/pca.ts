import { symmetricEigen } from '../../src/core/double.js';
import type { FeatureStatistics } from '../../src/evaluation/feature-statistics.js';

/** Directions of features, of length 1 and perpendicular to each other, widest first. */
export type PrincipalComponents = readonly (readonly number[])[];

/**
 * The directions in which features vary most: eigenvectors of their covariance.
 * @throws RangeError for more axes than features
 */
export function principalComponents(
  { covariance, mean }: Pick<FeatureStatistics, 'covariance' | 'mean'>,
  count: number,
): PrincipalComponents {
  const width = mean.length;
  if (count > width) {
    throw new RangeError(
      `Features of width ${width} have no ${count} axes. Ask for ${width} or fewer, or take wider features.`,
    );
  }
  const { vectors } = symmetricEigen({ rows: width, columns: width, data: covariance });
  // Eigenvalues come in ascending order.
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: width }, (_, j) => vectors.data[j * width + width - 1 - i]!),
  );
}

/** Coordinates of features along axes, with their mean as the origin: one row per image. */
export function projectOnto(
  { data, shape }: { data: ArrayLike<number>; shape: readonly [images: number, features: number] },
  { mean }: Pick<FeatureStatistics, 'mean'>,
  axes: PrincipalComponents,
): number[][] {
  const [images, width] = shape;
  return Array.from({ length: images }, (_, image) =>
    axes.map((axis) =>
      axis.reduce((sum, entry, j) => {
        return sum + entry * (data[image * width + j]! - mean[j]!);
      }, 0),
    ),
  );
}
