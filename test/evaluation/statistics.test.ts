import { describe, expect, test } from 'vitest';
import {
  mean,
  median,
  quantile,
  standardDeviation,
  standardErrorOfShare,
} from '../../src/evaluation/statistics.js';

describe('values', () => {
  test('have a mean and a deviation', () => {
    expect(mean([2, 4, 9])).toBe(5);
    expect(mean(Float32Array.of(1, 2))).toBe(1.5);
    expect(standardDeviation([2, 4, 9])).toBeCloseTo(Math.sqrt(13), 12);
    expect(standardDeviation([7])).toBeNaN();
    expect(mean([])).toBeNaN();
  });

  test('have quantiles between neighbours, in any order', () => {
    const values = [30, 10, 20, 40];
    expect([0, 0.25, 1].map((share) => quantile(values, share))).toEqual([10, 17.5, 40]);
    expect(median(values)).toBe(25);
    expect(median(Float32Array.of(9, -100, 3))).toBe(3);
    expect(values).toEqual([30, 10, 20, 40]);
    expect(quantile([], 0.5)).toBeNaN();
  });

  test('that are shares have a binomial error', () => {
    expect(standardErrorOfShare(0.8, 400)).toBeCloseTo(0.02, 12);
  });
});
