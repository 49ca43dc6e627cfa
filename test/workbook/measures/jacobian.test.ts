import { expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { jacobians, logAbsDeterminant, tokenNorms } from '../../../workbook/measures/jacobian.js';

/** (x₁², x₁x₂; x₃, x₁x₄) of two tokens of two numbers. */
function map(x: tf.Tensor3D): tf.Tensor {
  const [a, b, c, d] = tf.split(tf.reshape(x, [-1, 4]), 4, 1) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  return tf.concat([tf.square(a), tf.mul(a, b), c, tf.mul(a, d)], 1);
}

const expected = ([a, b, , d]: number[]) => [
  ...[2 * (a as number), 0, 0, 0],
  ...[b as number, a as number, 0, 0],
  ...[0, 0, 1, 0],
  ...[d as number, 0, 0, a as number],
];

test('every point has its own Jacobian, in as many passes as it takes', () => {
  const points = Array.from({ length: 60 }, (_, i) => [i, i + 0.5, -i, 2 * i]);
  const x = tf.tensor3d(points.flat(), [60, 2, 2]);
  const before = tf.memory().numTensors;
  const found = jacobians(map, x);
  expect(tf.memory().numTensors).toBe(before);
  found.forEach((jacobian, i) => {
    expect([...jacobian]).toEqual(expected(points[i] as number[]));
  });
});

test('of chosen outputs', () => {
  const x = tf.tensor3d([3, 5, 7, 11], [1, 2, 2]);
  const [rows] = jacobians(map, x, [3, 1]);
  expect([...(rows as Float64Array)]).toEqual([11, 0, 0, 3, 5, 3, 0, 0]);
});

test('norms of the blocks of tokens', () => {
  const jacobian = Float64Array.of(3, 4, 0, 0, 0, 0, 0, 0, 1, 2, 0, 5, 2, 4, 0, 12);
  expect([...tokenNorms(jacobian, 2, 2)]).toEqual([5, 0, 5, 13]);
  // One output of each token.
  expect([...tokenNorms(jacobian.slice(0, 8), 2, 2, 1)]).toEqual([5, 0, 0, 0]);
});

test('a singular matrix has −∞, a list of another length is refused', () => {
  expect(logAbsDeterminant([1, 2, 2, 4], 2)).toBe(Number.NEGATIVE_INFINITY);
  expect(() => logAbsDeterminant([1, 2, 3], 2)).toThrow(
    'Got 3 numbers, expected the 4 of a matrix of 2 × 2.',
  );
});
