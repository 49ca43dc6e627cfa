/**
 * log |det| of a square matrix by Gaussian elimination with pivots, in double precision: n³/3
 * multiplications, where a triangular matrix would take n logarithms.
 *
 * @param matrix size × size numbers, row by row; not changed
 * @returns −∞ for a singular matrix
 * @throws RangeError when the numbers are not size × size
 */
export function logAbsDeterminant(matrix: ArrayLike<number>, size: number): number {
  if (matrix.length !== size ** 2) {
    throw new RangeError(
      `a matrix of ${size} × ${size} has ${size ** 2} entries, got ${matrix.length}`,
    );
  }
  const flat = Float64Array.from(matrix);
  const rows = Array.from({ length: size }, (_, i) => flat.subarray(i * size, (i + 1) * size));
  let sum = 0;
  for (let k = 0; k < size; k++) {
    const top = pivotRow(rows, k);
    const head = top[k] as number;
    if (head === 0) return Number.NEGATIVE_INFINITY;
    sum += Math.log(Math.abs(head));
    for (let i = k + 1; i < size; i++) {
      const row = rows[i] as Float64Array;
      const factor = (row[k] as number) / head;
      if (factor === 0) continue;
      for (let j = k; j < size; j++) row[j] = (row[j] as number) - factor * (top[j] as number);
    }
  }
  return sum;
}

/** Exchanges rows so that row k has the largest entry of its column, and returns it. */
function pivotRow(rows: Float64Array[], k: number): Float64Array {
  const size = (i: number): number => Math.abs((rows[i] as Float64Array)[k] as number);
  let pivot = k;
  for (let i = k + 1; i < rows.length; i++) if (size(i) > size(pivot)) pivot = i;
  const top = rows[pivot] as Float64Array;
  rows[pivot] = rows[k] as Float64Array;
  rows[k] = top;
  return top;
}
