import { type DoubleMatrix, doubleProduct } from '@tarflow/graph';
import { UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';

/** Features of images, one row per image: a tensor, or the same on the host. */
export type Features =
  | tf.Tensor2D
  | { data: ArrayLike<number>; shape: readonly [images: number, features: number] };

/** Mean and covariance of features, in double precision; all that a Fréchet distance needs. */
export interface FeatureMoments {
  mean: Float64Array;
  /** Row by row; the unbiased estimate, divided by count − 1. */
  covariance: Float64Array;
}

/** Mean and covariance of the features of so many images. */
export interface FeatureStatistics extends FeatureMoments {
  /** The number of images. */
  count: number;
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
  return new RunningStatistics().add(features).statistics();
}

/** What {@link RunningStatistics} holds, from which it can go on. */
export interface FeatureSums {
  /** The number of images. */
  count: number;
  mean: Float64Array;
  /** Σ (x − mean)(x − mean)ᵀ, row by row. */
  scatter: Float64Array;
}

/** So many numbers are taken into double precision at a time. */
const numbersAtATime = 2 ** 21;

/**
 * Mean and covariance of features that come in parts, in double precision. It keeps two matrices of
 * the features' width, however many images there are.
 *
 * @example
 * ```ts
 * import { RunningStatistics } from 'tarflow/evaluation';
 *
 * const running = new RunningStatistics();
 * running.add({ data: [0, 0], shape: [1, 2] });
 * running.add({ data: [2, 4], shape: [1, 2] });
 * console.log(running.statistics().covariance); // [2, 4, 4, 8]
 * ```
 */
export class RunningStatistics {
  private count: number;
  private mean: Float64Array;
  private scatter: Float64Array;

  /** @param from what another one held, by {@link sums}; default nothing */
  constructor(from?: FeatureSums) {
    this.count = from?.count ?? 0;
    this.mean = from?.mean.slice() ?? new Float64Array();
    this.scatter = from?.scatter.slice() ?? new Float64Array();
  }

  /**
   * Takes more images in.
   * @returns itself
   * @throws UserError for a feature that is not finite, or another width than before; then it is as it
   *   was before
   */
  add(features: Features): this {
    const rows = finiteRows(features);
    const [count, width] = rows.shape;
    if (this.count > 0 && count > 0) checkWidths(this.mean.length, width);
    const step = Math.max(1, Math.floor(numbersAtATime / width));
    for (let first = 0; first < count; first += step) {
      const last = Math.min(first + step, count);
      this.include(
        sumsOf(new Float64Array(rows.data.subarray(first * width, last * width)), width),
      );
    }
    return this;
  }

  /**
   * Takes in what another one holds, by the exact update with its mean and scatter (Chan, Golub and LeVeque
   * 1983).
   *
   * @returns itself
   * @throws UserError for features of another width
   */
  include({ count, mean, scatter }: FeatureSums): this {
    if (count === 0) return this;
    const width = mean.length;
    if (this.count === 0) {
      this.mean = new Float64Array(width);
      this.scatter = new Float64Array(width * width);
    }
    checkWidths(this.mean.length, width);
    const total = this.count + count;
    const shift = mean.map((value, j) => value - this.mean[j]!);
    const weight = (this.count * count) / total;
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        const between = weight * shift[i]! * shift[j]!;
        this.scatter[i * width + j] =
          this.scatter[i * width + j]! + scatter[i * width + j]! + between;
      }
    }
    shift.forEach((value, j) => {
      this.mean[j]! += (value * count) / total;
    });
    this.count = total;
    return this;
  }

  /** What it holds, from which another one can go on. */
  sums(): FeatureSums {
    return { count: this.count, mean: this.mean.slice(), scatter: this.scatter.slice() };
  }

  /** @throws UserError for fewer than two images */
  statistics(): FeatureStatistics {
    const { count } = this;
    if (count < 2) {
      throw new UserError(
        `The statistics of features take two images or more, got ${count}`,
        'Give more images',
      );
    }
    const covariance = this.scatter.map((value) => value / (count - 1));
    return { count, mean: this.mean.slice(), covariance };
  }
}

/** Mean and scatter of rows, which are centred in place. */
function sumsOf(rows: Float64Array, width: number): FeatureSums {
  const count = rows.length / width;
  const mean = new Float64Array(width);
  for (let at = 0; at < rows.length; at += width) {
    for (let j = 0; j < width; j++) mean[j] = mean[j]! + rows[at + j]! / count;
  }
  for (let at = 0; at < rows.length; at += width) {
    for (let j = 0; j < width; j++) rows[at + j] = rows[at + j]! - mean[j]!;
  }
  const centred: DoubleMatrix = { rows: count, columns: width, data: rows };
  return { count, mean, scatter: doubleProduct(centred, centred, { transposeA: true }).data };
}

/** Features on the host. */
export interface FeatureRows {
  data: Float32Array | Float64Array;
  shape: readonly [images: number, features: number];
}

/**
 * Features on the host, all of them finite.
 * @throws UserError that names the first image that is not
 */
export function finiteRows(features: Features): FeatureRows {
  const [count, width] = features.shape;
  const values = features instanceof tf.Tensor ? features.dataSync() : features.data;
  if (values.length !== count * width) {
    throw new UserError(
      `Features of shape (${count}, ${width}) came with ${values.length} numbers`,
      `Expected ${count * width}`,
    );
  }
  const data = values instanceof Float32Array ? values : Float64Array.from(values);
  const broken = data.findIndex((value) => !Number.isFinite(value));
  if (broken < 0) return { data, shape: [count, width] };
  throw new UserError(
    `The features of image ${Math.floor(broken / width)} are not finite`,
    'Leave images out that are not, and say how many they were',
  );
}

/** @throws UserError for features of two widths */
export function checkWidths(first: number, second: number): void {
  if (first === second) return;
  throw new UserError(
    `Features of width ${first} and of width ${second} came`,
    'Expected those of one network',
  );
}
