import { describe, expect, test } from 'vitest';
import { learningRate } from '../../../src/training/optimiser/schedule.js';

describe('the published schedule: linear warm-up from 1e-6, then a cosine back to it', () => {
  const schedule = { peak: 1e-4, warmup: 10, steps: 110 };

  test.each([
    [0, 1e-6],
    [1, 1.09e-5],
    [5, 5.05e-5],
    [10, 1e-4],
    [35, 1e-6 + 0.5 * (1 + Math.SQRT1_2) * 9.9e-5],
    [60, 5.05e-5],
    [85, 1e-6 + 0.5 * (1 - Math.SQRT1_2) * 9.9e-5],
    [110, 1e-6],
    [200, 1e-6],
  ])('step %i', (k, expected) => {
    expect(learningRate(schedule, k)).toBeCloseTo(expected, 15);
  });

  test('holds its peak between the two for as long as asked', () => {
    const held = { ...schedule, hold: 40 };
    expect([9, 10, 30, 50].map((k) => learningRate(held, k) / 1e-4)).toEqual([
      expect.closeTo(0.901, 10),
      ...[1, 1, 1],
    ]);
    expect(learningRate(held, 80)).toBeCloseTo(5.05e-5, 15);
    expect(learningRate(held, 110)).toBeCloseTo(1e-6, 15);
  });

  test('without warm-up it begins at the peak, and another floor is kept', () => {
    expect(learningRate({ peak: 2e-3, warmup: 0, steps: 5 }, 0)).toBe(2e-3);
    expect(learningRate({ peak: 2e-3, warmup: 4, steps: 5, floor: 1e-4 }, 0)).toBe(1e-4);
    expect(learningRate({ peak: 2e-3, warmup: 4, steps: 4 }, 4)).toBe(2e-3);
  });
});
