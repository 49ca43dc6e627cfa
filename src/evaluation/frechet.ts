import { UserError } from '../backend/errors.js';
import { symmetricEigenvalues } from '../backend/symmetric-eigenvalues.js';
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
  const mean = new Float64Array(width);
  for (let i = 0; i < count * width; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) {
      throw new UserError(
        `The features of image ${Math.floor(i / width)} are not finite`,
        'Leave images out that are not, and say how many they were',
      );
    }
    mean[i % width] = (mean[i % width] as number) + value / count;
  }
  const covariance = new Float64Array(width * width);
  const centred = new Float64Array(width);
  for (let image = 0; image < count; image++) {
    for (let j = 0; j < width; j++) {
      centred[j] = (values[image * width + j] as number) - (mean[j] as number);
    }
    for (let j = 0; j < width; j++) {
      const scaled = (centred[j] as number) / (count - 1);
      for (let k = 0; k <= j; k++) {
        covariance[j * width + k] =
          (covariance[j * width + k] as number) + scaled * (centred[k] as number);
      }
    }
  }
  for (let j = 0; j < width; j++) {
    for (let k = 0; k < j; k++) covariance[k * width + j] = covariance[j * width + k] as number;
  }
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
  let distance = 0;
  for (let j = 0; j < width; j++) {
    distance += ((first.mean[j] as number) - (second.mean[j] as number)) ** 2;
    distance +=
      (first.covariance[j * width + j] as number) + (second.covariance[j * width + j] as number);
  }
  // With Σ₁ = LLᵀ the eigenvalues of Σ₁Σ₂ are those of LᵀΣ₂L, which is symmetric.
  const factor = cholesky(first.covariance, width);
  const product = multiply(
    multiply(transpose(factor, width), second.covariance, width),
    factor,
    width,
  );
  for (const eigenvalue of symmetricEigenvalues(product, width)) {
    distance -= 2 * Math.sqrt(Math.max(0, eigenvalue));
  }
  return Math.max(0, distance);
}

function statisticsOf(given: Features | FeatureStatistics): FeatureStatistics {
  return 'covariance' in given ? given : featureStatistics(given);
}

/**
 * The lower triangle L with LLᵀ = Σ, where Σ may be singular: fewer images than features, or a
 * feature that never changes. What of a column is lost in rounding becomes a column of zeros.
 */
function cholesky(matrix: Float64Array, size: number): Float64Array {
  const factor = new Float64Array(size * size);
  for (let j = 0; j < size; j++) {
    for (let i = j; i < size; i++) {
      let rest = matrix[i * size + j] as number;
      for (let k = 0; k < j; k++) {
        rest -= (factor[i * size + k] as number) * (factor[j * size + k] as number);
      }
      if (i === j) {
        if (rest <= 1e-13 * (matrix[j * size + j] as number)) break;
        factor[j * size + j] = Math.sqrt(rest);
      } else {
        factor[i * size + j] = rest / (factor[j * size + j] as number);
      }
    }
  }
  return factor;
}

function transpose(matrix: Float64Array, size: number): Float64Array {
  return matrix.map((_, at) => matrix[(at % size) * size + Math.floor(at / size)] as number);
}

function multiply(left: Float64Array, right: Float64Array, size: number): Float64Array {
  const product = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      const value = left[i * size + k] as number;
      if (value === 0) continue;
      for (let j = 0; j < size; j++) {
        product[i * size + j] =
          (product[i * size + j] as number) + value * (right[k * size + j] as number);
      }
    }
  }
  return product;
}
