import { expect, test } from 'vitest';
import { logAbsDeterminant } from '../../../workbook/measures/jacobian.js';

test('log |det| of matrices whose determinant is known', () => {
  expect(logAbsDeterminant([3, 8, 4, 6], 2)).toBeCloseTo(Math.log(14), 12);
  // A pivot of zero needs an exchange of rows.
  expect(logAbsDeterminant([0, 2, 0, 5, 0, 0, 0, 0, -3], 3)).toBeCloseTo(Math.log(30), 12);
  const triangular = [2, 0, 0, 7, 0.5, 0, 1, 9, 4];
  expect(logAbsDeterminant(Float32Array.from(triangular), 3)).toBeCloseTo(Math.log(4), 12);
});

test('leaves the matrix as it is', () => {
  const matrix = Float64Array.of(1, 2, 3, 4);
  logAbsDeterminant(matrix, 2);
  expect([...matrix]).toEqual([1, 2, 3, 4]);
});

test('a singular matrix has −∞, a list of another length is refused', () => {
  expect(logAbsDeterminant([1, 2, 2, 4], 2)).toBe(Number.NEGATIVE_INFINITY);
  expect(() => logAbsDeterminant([1, 2, 3], 2)).toThrow(
    'Got 3 numbers, expected the 4 of a matrix of 2 × 2.',
  );
});
