import { type DoubleMatrix, sumOfCubes } from '@tarflow/graph';
import { UserError } from '../core/errors.js';
import { foldIn, permutation, randomKey } from '../core/random.js';
import { checkWidths, type FeatureRows, type Features, finiteRows } from './feature-statistics.js';
import { mean } from './statistics.js';

/** A kernel inception distance (KID). */
export interface KernelInceptionDistance {
  /** Mean over the pairs of subsets. */
  mean: number;
  /**
   * Their standard deviation, divided by their number, as torch-fidelity has it. Where subsets are all
   * images of a set, it says nothing of how much that set's choice matters.
   */
  deviation: number;
}

/** Images of a subset, as published. */
export const subsetSize = 1000;

export interface KernelInceptionDistanceOptions {
  /** The number of pairs of subsets. Default 100. */
  subsets?: number;
  /** Images of a subset. Default 1,000, or all where a set has fewer. */
  size?: number;
  /** Of the choice of the subsets. Default 0. */
  seed?: number;
  /** The images of each pair of subsets, instead of a choice by `seed`. */
  indices?: readonly (readonly [ArrayLike<number>, ArrayLike<number>])[];
}

/**
 * The kernel inception distance (KID) between two sets of features, the squared maximum mean discrepancy
 * (MMD²) under the kernel (x·y/d + 1)³: its unbiased estimate on subsets, and so it may be negative
 * (Bińkowski et al. 2018). Unlike a Fréchet distance it does not depend on the number of images.
 *
 * Figures of it are comparable with published ones only with the features of the Inception network, so
 * name the network.
 *
 * @param a features (images, width)
 * @param b likewise, of the same width
 * @throws UserError for features that are not finite or of two widths, and for subsets of fewer than
 *   two images or more than there are
 *
 * @example
 * ```ts
 * import { kernelInceptionDistance } from 'tarflow/evaluation';
 *
 * const a = { data: [0, 1, 2, 3], shape: [4, 1] } as const;
 * const b = { data: [4, 5, 6, 7], shape: [4, 1] } as const;
 * console.log(kernelInceptionDistance(a, b, { subsets: 10, size: 3 }).mean > 0); // true
 * ```
 */
export function kernelInceptionDistance(
  a: Features,
  b: Features,
  { subsets = 100, size, seed = 0, indices }: KernelInceptionDistanceOptions = {},
): KernelInceptionDistance {
  const [first, second] = [finiteRows(a), finiteRows(b)];
  checkWidths(first.shape[1], second.shape[1]);
  const fewest = Math.min(first.shape[0], second.shape[0]);
  const pairs =
    indices ?? drawn(first, second, subsets, size ?? Math.min(subsetSize, fewest), seed);
  if (pairs.length === 0) throw new UserError('There are no subsets', 'Expected one or more');
  const estimates = pairs.map(([ofFirst, ofSecond]) =>
    discrepancy(chosen(first, ofFirst), chosen(second, ofSecond)),
  );
  const centre = mean(estimates);
  const variance = mean(estimates.map((value) => (value - centre) ** 2));
  return { mean: centre, deviation: Math.sqrt(variance) };
}

function drawn(
  first: FeatureRows,
  second: FeatureRows,
  subsets: number,
  size: number,
  seed: number,
): [Int32Array, Int32Array][] {
  const subset = ({ shape: [count] }: FeatureRows, which: string, at: number): Int32Array =>
    permutation(foldIn(foldIn(randomKey(seed), which), at), count).subarray(0, size);
  const fewest = Math.min(first.shape[0], second.shape[0]);
  if (!(size >= 2 && size <= fewest)) {
    throw new UserError(
      `Subsets of ${size} images of ${first.shape[0]} and ${second.shape[0]} were asked for`,
      `Expected from 2 to ${fewest}`,
    );
  }
  return Array.from({ length: subsets }, (_, at) => [
    subset(first, 'first', at),
    subset(second, 'second', at),
  ]);
}

/** The rows of a subset, in double precision. */
function chosen({ data, shape: [count, width] }: FeatureRows, rows: ArrayLike<number>) {
  if (rows.length < 2) {
    throw new UserError(`A subset has ${rows.length} images`, 'Expected two or more');
  }
  const taken = new Float64Array(rows.length * width);
  Array.from(rows).forEach((row, i) => {
    if (!(Number.isInteger(row) && row >= 0 && row < count)) {
      throw new UserError(`A subset has image ${row}`, `Expected one from 0 to ${count - 1}`);
    }
    taken.set(data.subarray(row * width, (row + 1) * width), i * width);
  });
  return { rows: rows.length, columns: width, data: taken };
}

/** The unbiased estimate: no image is compared with itself. */
function discrepancy(x: DoubleMatrix, y: DoubleMatrix): number {
  const kernel = { scale: 1 / x.columns, shift: 1 };
  const within = (set: DoubleMatrix) =>
    (sumOfCubes(set, set, kernel) - ownKernels(set)) / (set.rows * (set.rows - 1));
  return within(x) + within(y) - (2 * sumOfCubes(x, y, kernel)) / (x.rows * y.rows);
}

/** The sum of each image's kernel with itself. */
function ownKernels({ rows, columns, data }: DoubleMatrix): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) {
    let square = 0;
    for (let j = 0; j < columns; j++) square += data[i * columns + j]! ** 2;
    sum += (square / columns + 1) ** 3;
  }
  return sum;
}
