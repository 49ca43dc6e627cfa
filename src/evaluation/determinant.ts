import { LuDecomposition, Matrix } from 'ml-matrix';

/**
 * log |det| of a square matrix by its LU decomposition, in double precision: n³/3 multiplications,
 * where a triangular matrix would take n logarithms.
 *
 * @param matrix size × size numbers, row by row; not changed
 * @returns −∞ for a singular matrix
 * @throws RangeError when the numbers are not size × size
 */
export function logAbsDeterminant(matrix: ArrayLike<number>, size: number): number {
  if (matrix.length !== size ** 2) {
    throw new RangeError(
      `Got ${matrix.length} numbers, expected the ${size ** 2} of a matrix of ${size} × ${size}. Give all of its rows, one after the other.`,
    );
  }
  const { upperTriangularMatrix } = new LuDecomposition(Matrix.from1DArray(size, size, matrix));
  return upperTriangularMatrix
    .diagonal()
    .reduce((sum, pivot) => sum + Math.log(Math.abs(pivot)), 0);
}
