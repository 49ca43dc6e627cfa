import { doubleProduct } from '@tarflow/graph';
import { UserError } from '../core/errors.js';
import { checkWidths, type FeatureRows, type Features, finiteRows } from './feature-statistics.js';

/** What is told by which features lie among the neighbours of which others. */
export interface NeighbourMeasures {
  /** The share of generated images that lie in the neighbourhood of a real one. */
  precision: number;
  /** The share of real images that lie in the neighbourhood of a generated one. */
  recall: number;
  /** In how many neighbourhoods of real images a generated one lies, as a share of k; may exceed 1. */
  density: number;
  /** The share of real images whose neighbourhood has a generated one. */
  coverage: number;
}

export interface NeighbourOptions {
  /** The k of precision and recall. Default 3. */
  precisionNeighbours?: number;
  /** The k of density and coverage. Default 5. */
  coverageNeighbours?: number;
}

/**
 * Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) of
 * generated images among real ones. An image's neighbourhood is the ball of features around it that
 * reaches to its k-th nearest neighbour of the same set. All four depend on the numbers of images, and
 * so two sets of real images of the same sizes belong beside them.
 *
 * @param real features (images, width)
 * @param generated likewise, of the same width
 * @throws UserError for features that are not finite or of two widths, and where a set has no k-th
 *   neighbour
 *
 * @example
 * ```ts
 * import { neighbourMeasures } from 'tarflow/evaluation';
 *
 * const real = { data: [0, 1, 2, 3], shape: [4, 1] } as const;
 * const generated = { data: [0.5, 1.5, 2.5, 9], shape: [4, 1] } as const;
 * const { precision, coverage } = neighbourMeasures(real, generated, {
 *   precisionNeighbours: 1,
 *   coverageNeighbours: 1,
 * });
 * console.log(precision, coverage); // 0.75 and 1
 * ```
 */
export function neighbourMeasures(
  real: Features,
  generated: Features,
  { precisionNeighbours = 3, coverageNeighbours = 5 }: NeighbourOptions = {},
): NeighbourMeasures {
  const [reals, others] = [finiteRows(real), finiteRows(generated)];
  checkWidths(reals.shape[1], others.shape[1]);
  const [realReach, realWide] = reaches(reals, [precisionNeighbours, coverageNeighbours]);
  const [otherReach] = reaches(others, [precisionNeighbours]);
  const precise = new Uint8Array(others.shape[0]);
  let [recalled, inside, covered] = [0, 0, 0];
  forDistances(reals, others, (image, distances) => {
    const [reach, wide] = [realReach![image]!, realWide![image]!];
    let [isRecalled, isCovered] = [false, false];
    for (let other = 0; other < distances.length; other++) {
      const distance = distances[other]!;
      if (distance < reach) precise[other] = 1;
      if (distance < otherReach![other]!) isRecalled = true;
      if (distance < wide) {
        isCovered = true;
        inside++;
      }
    }
    if (isRecalled) recalled++;
    if (isCovered) covered++;
  });
  return {
    precision: precise.reduce((sum, value) => sum + value, 0) / others.shape[0],
    recall: recalled / reals.shape[0],
    density: inside / (coverageNeighbours * others.shape[0]),
    coverage: covered / reals.shape[0],
  };
}

/** Squared distances of a set's images to their k-th nearest neighbours in it, for each k. */
function reaches(set: FeatureRows, neighbours: readonly number[]): Float64Array[] {
  const [count] = set.shape;
  for (const k of neighbours) {
    if (Number.isInteger(k) && k >= 1 && k < count) continue;
    throw new UserError(
      `Neighbour ${k} was asked for in a set of ${count} images`,
      `Expected a whole number from 1 to ${count - 1}`,
    );
  }
  const most = Math.max(...neighbours);
  const found = neighbours.map(() => new Float64Array(count));
  forDistances(set, set, (image, distances) => {
    const nearest = leastOf(distances, most, image);
    neighbours.forEach((k, i) => {
      found[i]![image] = nearest[k - 1]!;
    });
  });
  return found;
}

/** The least `count` of the numbers, ascending, without the one at `omitted`. */
function leastOf(numbers: Float64Array, count: number, omitted: number): Float64Array {
  const least = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  for (let index = 0; index < numbers.length; index++) {
    const value = numbers[index]!;
    if (value >= least[count - 1]! || index === omitted) continue;
    let place = count - 1;
    for (; place > 0 && least[place - 1]! > value; place--) {
      least[place] = least[place - 1]!;
    }
    least[place] = value;
  }
  return least;
}

/** So many distances are computed at a time. */
const distancesAtATime = 2 ** 22;

/** Calls `f` with each image of `from` and its squared distances to all of `to`. */
export function forDistances(
  from: FeatureRows,
  to: FeatureRows,
  f: (image: number, distances: Float64Array) => void,
): void {
  const [count, width] = from.shape;
  const columns = { rows: to.shape[0], columns: width, data: Float64Array.from(to.data) };
  const [squares, others] = [squaresOf(from), squaresOf(to)];
  const step = Math.max(1, Math.floor(distancesAtATime / to.shape[0]));
  for (let first = 0; first < count; first += step) {
    const rows = Math.min(step, count - first);
    const part = Float64Array.from(from.data.subarray(first * width, (first + rows) * width));
    const products = doubleProduct({ rows, columns: width, data: part }, columns, {
      transposeB: true,
    }).data;
    for (let row = 0; row < rows; row++) {
      const own = products.subarray(row * columns.rows, (row + 1) * columns.rows);
      const square = squares[first + row]!;
      for (let i = 0; i < own.length; i++) {
        own[i] = square + others[i]! - 2 * own[i]!;
      }
      f(first + row, own);
    }
  }
}

function squaresOf({ data, shape: [count, width] }: FeatureRows): Float64Array {
  return Float64Array.from({ length: count }, (_, row) =>
    Float64Array.from(data.subarray(row * width, (row + 1) * width)).reduce(
      (sum, value) => sum + value * value,
      0,
    ),
  );
}
