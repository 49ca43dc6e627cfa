import { symmetricEigenvalues } from '../backend/symmetric-eigenvalues.js';

/**
 * The spectral norm of a matrix, its largest singular value, in double precision: the root of the
 * largest eigenvalue of the Gram matrix of its shorter side. Exact to rounding however close the
 * singular values lie.
 *
 * @param values row by row
 * @throws RangeError where they are not as many as rows times columns
 */
export function spectralNorm(values: ArrayLike<number>, rows: number, columns: number): number {
  if (values.length !== rows * columns) {
    throw new RangeError(`${values.length} numbers are not a matrix of ${rows}×${columns}.`);
  }
  let scale = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (!Number.isFinite(size)) return size;
    scale = Math.max(scale, size);
  }
  // Scaled, so that squares neither overflow nor vanish.
  if (scale === 0) return scale;
  const eigenvalues = symmetricEigenvalues(...gram(values, rows, columns, scale));
  return scale * Math.sqrt(Math.max(...eigenvalues, 0));
}

/** M·Mᵀ or Mᵀ·M of M / scale, whichever is smaller: its lower triangle row by row, and its size. */
function gram(
  values: ArrayLike<number>,
  rows: number,
  columns: number,
  scale: number,
): [Float64Array, number] {
  const [size, length] = rows <= columns ? [rows, columns] : [columns, rows];
  const vectors = Array.from({ length: size }, (_, i) =>
    Float64Array.from(
      { length },
      (_, k) => values[rows <= columns ? i * columns + k : k * columns + i]! / scale,
    ),
  );
  const product = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      const [left, right] = [vectors[i]!, vectors[j]!];
      let sum = 0;
      for (let k = 0; k < length; k++) sum += left[k]! * right[k]!;
      product[i * size + j] = sum;
    }
  }
  return [product, size];
}
