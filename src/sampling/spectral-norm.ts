/**
 * The spectral norm of a matrix, its largest singular value, in double precision.
 *
 * Exact to rounding however close the singular values lie: the Gram matrix of the shorter side is
 * brought to tridiagonal form by Householder reflections, and its largest eigenvalue found by
 * bisection on Sturm sequences (Golub and Van Loan, Matrix Computations, sections 8.3 and 8.4).
 *
 * @param values row by row
 */
export function spectralNorm(values: ArrayLike<number>, rows: number, columns: number): number {
  if (values.length !== rows * columns) {
    throw new RangeError(`${values.length} numbers are not a matrix of ${rows}×${columns}.`);
  }
  let scale = 0;
  for (let i = 0; i < values.length; i++) scale = Math.max(scale, Math.abs(values[i]!));
  // Scaled, so that squares neither overflow nor vanish.
  if (scale === 0 || !Number.isFinite(scale)) return scale;
  const { diagonal, below } = tridiagonal(gram(values, rows, columns, scale));
  return scale * Math.sqrt(Math.max(largestEigenvalue(diagonal, below), 0));
}

/** M·Mᵀ or Mᵀ·M of M / scale, whichever is smaller, as full rows. */
function gram(
  values: ArrayLike<number>,
  rows: number,
  columns: number,
  scale: number,
): Float64Array[] {
  const [size, length] = rows <= columns ? [rows, columns] : [columns, rows];
  const vectors = Array.from({ length: size }, (_, i) =>
    Float64Array.from(
      { length },
      (_, k) => values[rows <= columns ? i * columns + k : k * columns + i]! / scale,
    ),
  );
  const product = vectors.map(() => new Float64Array(size));
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      const [left, right] = [vectors[i]!, vectors[j]!];
      let sum = 0;
      for (let k = 0; k < length; k++) sum += left[k]! * right[k]!;
      product[i]![j] = sum;
      product[j]![i] = sum;
    }
  }
  return product;
}

/** A symmetric matrix in tridiagonal form with the same eigenvalues; overwrites the matrix. */
function tridiagonal(matrix: Float64Array[]): { diagonal: Float64Array; below: Float64Array } {
  const size = matrix.length;
  const below = new Float64Array(Math.max(size - 1, 0));
  for (let k = 0; k < size - 2; k++) {
    // Reflect the column under the diagonal to a multiple of its first unit vector.
    const v = new Float64Array(size);
    let square = 0;
    for (let i = k + 1; i < size; i++) {
      v[i] = matrix[i]![k]!;
      square += v[i]! ** 2;
    }
    const norm = Math.sqrt(square);
    if (norm === 0) continue;
    const alpha = v[k + 1]! > 0 ? -norm : norm;
    v[k + 1]! -= alpha;
    const beta = 1 / (norm * (norm + Math.abs(matrix[k + 1]![k]!)));
    below[k] = alpha;

    const p = new Float64Array(size);
    let dot = 0;
    for (let i = k + 1; i < size; i++) {
      const row = matrix[i]!;
      let sum = 0;
      for (let j = k + 1; j < size; j++) sum += row[j]! * v[j]!;
      p[i] = beta * sum;
      dot += p[i]! * v[i]!;
    }
    const half = (beta * dot) / 2;
    for (let i = k + 1; i < size; i++) p[i]! -= half * v[i]!;
    for (let i = k + 1; i < size; i++) {
      const row = matrix[i]!;
      for (let j = k + 1; j < size; j++) row[j]! -= v[i]! * p[j]! + p[i]! * v[j]!;
    }
  }
  if (size > 1) below[size - 2] = matrix[size - 1]![size - 2]!;
  return { diagonal: Float64Array.from(matrix, (row, i) => row[i]!), below };
}

function largestEigenvalue(diagonal: Float64Array, below: Float64Array): number {
  const size = diagonal.length;
  let [low, high] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < size; i++) {
    const reach = Math.abs(below[i - 1] ?? 0) + Math.abs(below[i] ?? 0);
    low = Math.max(low, diagonal[i]!);
    high = Math.max(high, diagonal[i]! + reach);
  }
  for (;;) {
    const middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high;
    if (allBelow(diagonal, below, middle)) high = middle;
    else low = middle;
  }
}

/** True where all eigenvalues are below a bound: all pivots of the shifted matrix are negative. */
function allBelow(diagonal: Float64Array, below: Float64Array, bound: number): boolean {
  let pivot = diagonal[0]! - bound;
  for (let i = 1; i < diagonal.length; i++) {
    if (pivot >= 0) return false;
    pivot = diagonal[i]! - bound - below[i - 1]! ** 2 / pivot;
  }
  return pivot < 0;
}
