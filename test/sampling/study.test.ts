import { describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import {
  convergenceRate,
  differenceOf,
  geometricMean,
  rootMeanSquare,
} from '../../workbook/measures/error-measures.js';
import { expectNoTensorsLeft } from '../leaks.js';

test('a difference is told by its largest entry and its root mean square', () => {
  expectNoTensorsLeft();
  const [a, b] = [tf.tensor1d([0, 1, 2, 3]), tf.tensor1d([0, 1, 2, -1])];
  expect(differenceOf(a, b)).toEqual({ largest: 4, rootMeanSquare: 2 });
  expect(rootMeanSquare(a)).toBeCloseTo(Math.sqrt(14 / 4), 6);
  const broken = tf.tensor1d([0, 1, Number.NaN, 3]);
  expect(differenceOf(broken, b).rootMeanSquare).toBeNaN();
  tf.dispose([a, b, broken]);
});

describe('the rate of convergence', () => {
  test('has a constant factor where it is linear', () => {
    const errors = Array.from({ length: 12 }, (_, k) => 10 * 0.5 ** k);
    const { early, late, count } = convergenceRate(errors);
    expect([early, late]).toEqual([expect.closeTo(0.5, 12), expect.closeTo(0.5, 12)]);
    // The first factor is left out, and so are those within five times the least error.
    expect(count).toBe(7);
  });

  test('falls where it is superlinear, and ends at rounding', () => {
    const errors = Array.from({ length: 20 }, (_, k) => Math.max(1e-7, 10 ** (-k * k * 0.1)));
    const { early, late, ended } = convergenceRate(errors);
    expect(late).toBeLessThan(early / 2);
    expect(ended).toBe(true);
    // Still falling by a factor of ten each time.
    const falling = Array.from({ length: 20 }, (_, k) => 0.1 ** k);
    expect(convergenceRate(falling).ended).toBe(false);
    for (const factor of [0.99, 0.85, 0.5]) {
      const slow = Array.from({ length: 49 }, (_, k) => factor ** k);
      expect(convergenceRate(slow).ended).toBe(false);
    }
    expect(geometricMean([1, 4])).toBeCloseTo(2, 12);
  });
});
