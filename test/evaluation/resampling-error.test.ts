import { describe, expect, test } from 'vitest';
import { normal, randomKey } from '../../src/core/random.js';
import { featureStatistics } from '../../src/evaluation/feature-statistics.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { resamplingError } from '../../src/evaluation/resampling-error.js';
import {
  mean,
  median,
  quantile,
  standardDeviation,
  standardErrorOfShare,
} from '../../src/evaluation/statistics.js';

const count = 900;
/** Normal numbers about a mean: two features of each image. */
const drawn = (seed: number, mean = 5, images = count) => ({
  data: Float32Array.from(normal(randomKey(seed), 2 * images), (value) => mean + 3 * value),
  shape: [images, 2] as [number, number],
});
const features = drawn(1);
const meanOfFirst = ({ data }: { data: ArrayLike<number> }) => {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += data[i] as number;
  return sum / (data.length / 2);
};

test('the error of a mean is its deviation over the root of the number', () => {
  const error = resamplingError([features], meanOfFirst, { draws: 400 });
  expect(error / (3 / Math.sqrt(count))).toBeGreaterThan(0.88);
  expect(error / (3 / Math.sqrt(count))).toBeLessThan(1.12);
});

test('the error of a Fréchet distance is its deviation over new images, away from the floor', () => {
  const reference = featureStatistics(drawn(2, 0, 5000));
  const distance = (set: Parameters<typeof featureStatistics>[0]) =>
    frechetDistance(featureStatistics(set), reference);
  const anew = Array.from({ length: 100 }, (_, i) => distance(drawn(100 + i)));
  const error = resamplingError([features], distance, { draws: 100 });
  expect(error / standardDeviation(anew)).toBeGreaterThan(0.75);
  expect(error / standardDeviation(anew)).toBeLessThan(1.33);
});

test('the difference of two sets that belong together has a paired error', () => {
  const moved = {
    ...features,
    data: features.data.map((value, i) => value + (i % 4 === 0 ? 1 : 0)),
  };
  const paired = resamplingError([features, moved], (a, b) => meanOfFirst(a) - meanOfFirst(b));
  // Every second image is moved by 1.
  expect(paired).toBeLessThan((1.3 * 0.5) / Math.sqrt(count));
  expect(paired).toBeGreaterThan((0.7 * 0.5) / Math.sqrt(count));
});

test('the same seed draws the same images, another one others', () => {
  const error = (seed: number) => resamplingError([features], meanOfFirst, { draws: 5, seed });
  expect(error(3)).toBe(error(3));
  expect(error(3)).not.toBe(error(4));
});

test('rows stay whole', () => {
  const pairs = { data: Float32Array.of(1, -1, 2, -2, 3, -3), shape: [3, 2] as [number, number] };
  resamplingError([pairs], ({ data, shape }) => {
    expect(shape).toEqual([3, 2]);
    for (let i = 0; i < data.length; i += 2) expect(data[i]).toBe(-(data[i + 1] as number));
    return 0;
  });
});

test('refuses a single draw, sets of other numbers, and features that are not finite', () => {
  expect(() => resamplingError([features], meanOfFirst, { draws: 1 })).toThrow(/draws is 1/);
  expect(() => resamplingError([], meanOfFirst)).toThrow(/Sets of no images/);
  expect(() => resamplingError([features, drawn(1, 0, 4)], meanOfFirst)).toThrow(/900 and 4/);
  const broken = { data: Float32Array.of(1, Number.NaN), shape: [1, 2] as [number, number] };
  expect(() => resamplingError([broken], meanOfFirst)).toThrow(/image 0 are not finite/);
});

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
