import { LuDecomposition, Matrix } from 'ml-matrix';
import { tf, tidy } from '../../src/core/tf.js';

/** Points that are differentiated in one backward pass. */
const together = 98;

/**
 * Rows of the Jacobian of a map of tokens at one or more points, by automatic differentiation, which
 * knows nothing of autoregression: row i is the gradient of output i with respect to all inputs.
 *
 * @param map from tokens (rows, T, D) to as many numbers for each row, row by row on its own
 * @param x the points (batch, T, D); not disposed
 * @param outputs which of the T·D outputs; default: all
 * @returns for each point outputs × T·D numbers, row by row
 */
export function jacobians(
  map: (x: tf.Tensor3D) => tf.Tensor,
  x: tf.Tensor3D,
  outputs?: readonly number[],
): Float64Array[] {
  const [batch, tokens, width] = x.shape;
  const size = tokens * width;
  const rows = outputs ?? Array.from({ length: size }, (_, i) => i);
  const results = Array.from({ length: batch }, () => new Float64Array(rows.length * size));
  const inOnePass = Math.max(1, Math.floor(together / batch));
  for (let start = 0; start < rows.length; start += inOnePass) {
    const chosen = rows.slice(start, start + inOnePass);
    const gradients = gradientsOf(map, x, chosen);
    results.forEach((result, point) => {
      chosen.forEach((_, i) => {
        const from = (i * batch + point) * size;
        result.set(gradients.subarray(from, from + size), (start + i) * size);
      });
    });
  }
  return results;
}

/** Gradients of chosen outputs at every point: one copy of the points for each output. */
function gradientsOf(
  map: (x: tf.Tensor3D) => tf.Tensor,
  x: tf.Tensor3D,
  outputs: readonly number[],
): Float32Array {
  const [batch, tokens, width] = x.shape;
  return tidy(() => {
    const copies = tf.tile(x, [outputs.length, 1, 1]);
    const wanted = outputs.flatMap((output) => Array<number>(batch).fill(output));
    const oneHot = tf.oneHot(tf.tensor1d(wanted, 'int32'), tokens * width);
    const chosen = tf.reshape(oneHot, [wanted.length, tokens, width]);
    const gradient = tf.grad((points: tf.Tensor) =>
      tf.sum(tf.mul(tf.reshape(map(points as tf.Tensor3D), chosen.shape), chosen)),
    );
    return gradient(copies).dataSync() as Float32Array;
  });
}

/**
 * The norm of each block of a Jacobian that belongs to an output token and an input token.
 *
 * @param jacobian outputs × T·D numbers, as {@link jacobians} returns them
 * @param width D, the numbers in a token
 * @param outputWidth outputs of one token among the rows; D for the whole Jacobian
 * @returns (output tokens) × T norms, row by row
 */
export function tokenNorms(
  jacobian: Float64Array,
  tokens: number,
  width: number,
  outputWidth = width,
): Float64Array {
  const size = tokens * width;
  const squares = new Float64Array((jacobian.length / size / outputWidth) * tokens);
  jacobian.forEach((value, i) => {
    const [row, column] = [Math.floor(i / size), i % size];
    const place = Math.floor(row / outputWidth) * tokens + Math.floor(column / width);
    squares[place]! += value ** 2;
  });
  return squares.map(Math.sqrt);
}

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
