import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.js';
import {
  foldIn,
  integers,
  normal,
  normalInto,
  permutation,
  randomKey,
  uniform,
  uniformInto,
} from '../../src/core/random.js';

const key = randomKey(7);

function moments(values: ArrayLike<number>): { mean: number; variance: number; fourth: number } {
  const list = Array.from(values);
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length;
  const about = (power: number): number =>
    list.reduce((sum, value) => sum + (value - mean) ** power, 0) / list.length;
  return { mean, variance: about(2), fourth: about(4) };
}

describe('random keys', () => {
  test('the same key gives the same numbers, another key others', () => {
    expect(normal(key, 100)).toEqual(normal(randomKey(7), 100));
    expect(normal(key, 100)).not.toEqual(normal(randomKey(8), 100));
    expect(normal(foldIn(key, 1), 100)).not.toEqual(normal(foldIn(key, 2), 100));
    expect(normal(foldIn(key, 'noise'), 9)).not.toEqual(normal(foldIn(key, 'order'), 9));
  });

  test('the numbers are pinned, so that a checkpoint can be made again years later', () => {
    expect(Array.from(normal(randomKey(0), 3))).toMatchInlineSnapshot(`
      [
        -0.8564459085464478,
        2.5771591663360596,
        -1.9626179933547974,
      ]
    `);
    expect(Array.from(permutation(randomKey(1), 8))).toMatchInlineSnapshot(`
      [
        0,
        5,
        6,
        4,
        1,
        3,
        2,
        7,
      ]
    `);
  });

  test('so are long streams', () => {
    const digest = (values: Float32Array) =>
      createHash('sha256').update(values).digest('hex').slice(0, 16);
    expect(digest(normal(randomKey(3), 5_001))).toBe('c6bbc1df05cea5ca');
    expect(digest(uniform(randomKey(3), 5_001))).toBe('d97f485b6cab488b');
  });

  test.each([0, 1, 2, 1023, 1024, 1025, 2049])(
    '%i numbers written into an array are the same',
    (count) => {
      for (const [into, draw] of [
        [normalInto, normal],
        [uniformInto, uniform],
      ] as const) {
        const out = new Float32Array(count + 5).fill(9);
        into(key, out, 3, count);
        expect(out.subarray(3, 3 + count)).toEqual(draw(key, count));
        expect([...out.subarray(0, 3), ...out.subarray(3 + count)]).toEqual([9, 9, 9, 9, 9]);
      }
    },
  );

  test('seed 0, negative and large seeds are seeds like others; fractions are refused', () => {
    const streams = [0, 1, -1, 2 ** 40, 2 ** 40 + 1].map((seed) =>
      normal(randomKey(seed), 4).join(),
    );
    expect(new Set(streams).size).toBe(5);
    expect(() => randomKey(0.5)).toThrow(
      new UserError('The seed is 0.5', 'Expected a whole number between -2^53 and 2^53'),
    );
  });

  test('folding the steps of a long run never repeats a key', () => {
    const seen = new Set<string>();
    for (let step = 0; step < 50_000; step++) {
      const { high, low } = foldIn(key, step);
      seen.add(`${high},${low}`);
    }
    expect(seen.size).toBe(50_000);
  });

  test('normal numbers have the moments of a standard normal law', () => {
    const { mean, variance, fourth } = moments(normal(key, 200_000));
    expect(Math.abs(mean)).toBeLessThan(0.01);
    expect(Math.abs(variance - 1)).toBeLessThan(0.02);
    expect(Math.abs(fourth - 3)).toBeLessThan(0.1);
  });

  test('streams of neighbouring keys are not correlated', () => {
    const count = 50_000;
    const [a, b] = [normal(foldIn(key, 1), count), normal(foldIn(key, 2), count)];
    const correlation = a.reduce((sum, value, i) => sum + value * (b[i] as number), 0) / count;
    expect(Math.abs(correlation)).toBeLessThan(0.02);
  });

  test('uniform numbers fill [0, 1) evenly', () => {
    const values = uniform(key, 100_000);
    const bins = new Array<number>(10).fill(0);
    for (const value of values) bins[Math.floor(value * 10)]!++;
    expect(bins.length).toBe(10);
    for (const bin of bins) expect(Math.abs(bin - 10_000)).toBeLessThan(500);
  });

  test('integers keep to their range and permutations hold every number once', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 200 }), (seed, size) => {
        const drawn = integers(randomKey(seed), 50, -3, size - 3);
        expect(drawn.every((value) => value >= -3 && value < size - 3)).toBe(true);
        const order = Array.from(permutation(randomKey(seed), size)).sort((a, b) => a - b);
        expect(order).toEqual(Array.from({ length: size }, (_, index) => index));
      }),
    );
    expect(() => integers(key, 1, 3, 3)).toThrow(
      new UserError('The range from 3 to 3 is empty', 'Expected high to be larger than low'),
    );
  });
});
