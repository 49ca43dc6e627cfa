import { Matrix, SingularValueDecomposition } from 'ml-matrix';

/**
 * The spectral norm of a matrix, its largest singular value, in double precision.
 *
 * @param values row by row
 * @returns Infinity or NaN, the first such number, where an entry is not finite
 * @throws RangeError if they are not as many as rows times columns
 */
export function spectralNorm(values: ArrayLike<number>, rows: number, columns: number): number {
  if (values.length !== rows * columns) {
    throw new RangeError(
      `Got ${values.length} numbers, expected the ${rows * columns} of a matrix of ${rows} × ${columns}. Give all of its rows, one after the other.`,
    );
  }
  // The decomposition does not end for numbers that are not finite.
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i] as number);
    if (!Number.isFinite(size)) return size;
  }
  return new SingularValueDecomposition(Matrix.from1DArray(rows, columns, values), {
    computeLeftSingularVectors: false,
    computeRightSingularVectors: false,
    autoTranspose: true,
  }).norm2;
}
