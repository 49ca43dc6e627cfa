import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { RunningStatistics } from '../../src/evaluation/feature-statistics.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { kernelInceptionDistance } from '../../src/evaluation/kid.js';
import { neighbourMeasures } from '../../src/evaluation/neighbours.js';
import { readSafetensors } from '../../src/formats/safetensors.js';

type Set = { data: Float32Array; shape: readonly [number, number] };
let sets: Record<'real' | 'generated' | 'few', Set>;
/** The images of ten pairs of subsets of 100. */
let indices: [Int32Array, Int32Array][];

const reference = JSON.parse(readFileSync(path.join(__dirname, 'reference.json'), 'utf8')) as {
  frechet: number;
  frechetBySingularValues: number;
  frechetOfFew: number;
  kernel: { mean: number; deviation: number };
  neighbours3: Record<string, number>;
  neighbours5: Record<string, number>;
};

beforeAll(async () => {
  const { tensors } = await readSafetensors(path.join(__dirname, 'features.safetensors'));
  sets = tensors as unknown as typeof sets;
  const { data } = tensors.subsets as unknown as { data: Int32Array };
  indices = Array.from({ length: 10 }, (_, i) => [
    data.subarray(200 * i, 200 * i + 100),
    data.subarray(200 * i + 100, 200 * (i + 1)),
  ]);
});

const expectWithin = (value: number, expected: number, relative: number): void =>
  expect(Math.abs(value / expected - 1)).toBeLessThan(relative);

describe('on the same features as torch-fidelity and prdc', () => {
  test('the Fréchet distance is theirs, and that by singular values', () => {
    const distance = frechetDistance(sets.real, sets.generated);
    expectWithin(distance, reference.frechet, 1e-5);
    expectWithin(distance, reference.frechetBySingularValues, 1e-10);
  });

  test('the Fréchet distance of fewer images than features is that by singular values', () => {
    expectWithin(frechetDistance(sets.few, sets.generated), reference.frechetOfFew, 1e-7);
    expectWithin(frechetDistance(sets.generated, sets.few), reference.frechetOfFew, 1e-7);
  });

  test('the kernel distance on the same subsets is theirs', () => {
    const { mean, deviation } = reference.kernel;
    const ours = kernelInceptionDistance(sets.real, sets.generated, { indices });
    expect(Math.abs(ours.mean - mean)).toBeLessThan(1e-6);
    expect(Math.abs(ours.deviation - deviation)).toBeLessThan(1e-6);
  });

  test('precision, recall, density and coverage are theirs', () => {
    const [three, five] = [3, 5].map((k) =>
      neighbourMeasures(sets.real, sets.generated, {
        precisionNeighbours: k,
        coverageNeighbours: k,
      }),
    );
    for (const name of ['precision', 'recall', 'density', 'coverage'] as const) {
      expect(three?.[name]).toBeCloseTo(reference.neighbours3[name] as number, 12);
      expect(five?.[name]).toBeCloseTo(reference.neighbours5[name] as number, 12);
    }
  });
});

describe('statistics in parts', () => {
  test('go on from what another one held, to the bit', () => {
    const { data, shape } = sets.real;
    const [first, rest] = [
      { data: data.subarray(0, 150 * shape[1]), shape: [150, shape[1]] as const },
      { data: data.subarray(150 * shape[1]), shape: [shape[0] - 150, shape[1]] as const },
    ];
    const held = new RunningStatistics().add(first);
    const sums = held.sums();
    const whole = held.add(rest).statistics();
    expect(new RunningStatistics(sums).add(rest).statistics()).toEqual(whole);
    expect(new RunningStatistics(sums).statistics().count).toBe(150);
    // Parts that others counted are put together in any order.
    const parts = [rest, first].map((part) => new RunningStatistics().add(part).sums());
    const merged = parts
      .reduce((all, part) => all.include(part), new RunningStatistics())
      .statistics();
    const largest = Math.max(...whole.covariance.map(Math.abs));
    const apart = merged.covariance.map(
      (value, i) => Math.abs(value - whole.covariance[i]!) / largest,
    );
    expect(Math.max(...apart)).toBeLessThan(1e-12);
    expect(() =>
      new RunningStatistics(sums).include({
        count: 1,
        mean: Float64Array.of(0),
        scatter: Float64Array.of(0),
      }),
    ).toThrow(/width/);
  });

  test('with a part that cannot be taken stay as they were', () => {
    const running = new RunningStatistics().add({ data: [0, 2], shape: [2, 1] });
    expect(() => running.add({ data: [1, Number.NaN], shape: [2, 1] })).toThrow(/image 1 are not/);
    expect(() => running.add({ data: [1, 1], shape: [1, 2] })).toThrow(/width 1 and of width 2/);
    expect([...running.statistics().covariance]).toEqual([2]);
    expect(() => new RunningStatistics().statistics()).toThrow(/two images or more, got 0/);
  });
});

describe('the kernel distance', () => {
  test('is about 0 of sets of one distribution, and the same for the same seed', () => {
    const half = (first: number): Set => ({
      data: sets.real.data.subarray(first * 24, (first + 200) * 24),
      shape: [200, 24],
    });
    const options = { subsets: 20, size: 100, seed: 3 };
    const { mean, deviation } = kernelInceptionDistance(half(0), half(200), options);
    expect(Math.abs(mean)).toBeLessThan(3 * deviation);
    expect(kernelInceptionDistance(half(0), half(200), options).mean).toBe(mean);
    expect(kernelInceptionDistance(half(0), half(200), { ...options, seed: 4 }).mean).not.toBe(
      mean,
    );
  });

  test('of subsets that cannot be is refused', () => {
    const both = (options: object) => () => kernelInceptionDistance(sets.real, sets.few, options);
    expect(both({ size: 16 })).toThrow(/16 images of 400 and 15.*\n?.*from 2 to 15/);
    expect(both({ size: 1 })).toThrow(/from 2 to 15/);
    expect(both({ subsets: 0 })).toThrow(/no subsets/);
    expect(
      both({
        indices: [
          [
            [0, 400],
            [0, 1],
          ],
        ],
      }),
    ).toThrow(/image 400.*\n?.*0 to 399/);
  });
});

describe('neighbours', () => {
  test('that there are not are refused', () => {
    const two = { data: [0, 1], shape: [2, 1] } as const;
    expect(() => neighbourMeasures(two, two)).toThrow(/Neighbour 3.*2 images.*\n?.*from 1 to 1/);
  });
});
