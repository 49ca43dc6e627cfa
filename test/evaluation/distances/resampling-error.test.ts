import { expect, test } from 'vitest';
import { normal, randomKey } from '../../../src/backend/random.js';
import { resamplingError } from '../../../src/evaluation/distances/resampling-error.js';

const count = 900;
const features = {
  data: Float32Array.from(normal(randomKey(1), 2 * count), (value) => 5 + 3 * value),
  shape: [count, 2] as [number, number],
};
const meanOfFirst = ({ data }: { data: ArrayLike<number> }) => {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += data[i] as number;
  return sum / (data.length / 2);
};

test('the error of a mean is its deviation over the root of the number', () => {
  const error = resamplingError(features, meanOfFirst, { draws: 400 });
  expect(error / (3 / Math.sqrt(count))).toBeGreaterThan(0.88);
  expect(error / (3 / Math.sqrt(count))).toBeLessThan(1.12);
});

test('the same seed draws the same images, another one others', () => {
  const error = (seed: number) => resamplingError(features, meanOfFirst, { draws: 5, seed });
  expect(error(3)).toBe(error(3));
  expect(error(3)).not.toBe(error(4));
});

test('rows stay whole', () => {
  const pairs = { data: Float32Array.of(1, -1, 2, -2, 3, -3), shape: [3, 2] as [number, number] };
  resamplingError(pairs, ({ data, shape }) => {
    expect(shape).toEqual([3, 2]);
    for (let i = 0; i < data.length; i += 2) expect(data[i]).toBe(-(data[i + 1] as number));
    return 0;
  });
});

test('refuses a single draw, and features that are not finite', () => {
  expect(() => resamplingError(features, meanOfFirst, { draws: 1 })).toThrow(/draws is 1/);
  const broken = { data: Float32Array.of(1, Number.NaN), shape: [1, 2] as [number, number] };
  expect(() => resamplingError(broken, meanOfFirst)).toThrow(/image 0 are not finite/);
});
