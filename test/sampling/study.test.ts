import { describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { tokenCount } from '../../src/flow/patches.js';
import { samplingTrajectory } from '../../src/sampling/study/trajectories.js';
import { checkGuarantee } from '../../workbook/measures/convergence.js';
import {
  convergenceRate,
  differenceOf,
  errorFactors,
  geometricMean,
  largestOutside,
  powerNorms,
  rootMeanSquare,
} from '../../workbook/measures/error-measures.js';
import { randomLatents, smallFlow } from '../flow/small-flow.js';
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

describe('a Jacobian by tokens', () => {
  /** Two tokens of two numbers each; the first depends on nothing, the second on the first. */
  const triangular = [
    [0, 0, 0, 0],
    [0, 0, 0, 0],
    [3, 0, 0, 0],
    [0, 4, 0, 0],
  ];

  test('has nothing outside its triangle where no token depends on a later one', () => {
    expectNoTensorsLeft();
    const matrix = tf.tensor2d(triangular);
    expect(largestOutside(matrix, 2)).toBe(0);
    // Within a token no number may depend on another one either.
    const within = tf.tensor2d(triangular.map((row, i) => (i === 3 ? [0, 4, -2, 0] : row)));
    expect(largestOutside(within, 2)).toBe(2);
    tf.dispose([matrix, within]);
  });

  test('has powers that vanish where it is triangular, and that keep their size in float32', () => {
    expectNoTensorsLeft();
    const matrix = tf.tensor2d(triangular);
    const { norms, entries } = powerNorms(matrix, 2);
    expect(norms[0]).toBeCloseTo(Math.log10(5), 5);
    expect(entries[0]).toBeCloseTo(Math.log10(4), 5);
    expect(norms[1]).toBe(Number.NEGATIVE_INFINITY);
    // 10⁻²⁰⁰ is no float32.
    const small = tf.tensor2d([[1e-10]]);
    expect(powerNorms(small, 20).norms.at(-1)).toBeCloseTo(-200, 3);
    tf.dispose([matrix, small]);
  });
});

describe('the rate of convergence', () => {
  test('has a constant factor where it is linear', () => {
    const errors = Array.from({ length: 12 }, (_, k) => 10 * 0.5 ** k);
    const factors = errorFactors(errors);
    // The first one is left out, and so are those within five times the least error.
    expect(factors).toHaveLength(7);
    for (const factor of factors) expect(factor).toBeCloseTo(0.5, 12);
    const { early, late, count } = convergenceRate(errors);
    expect([early, late]).toEqual([expect.closeTo(0.5, 12), expect.closeTo(0.5, 12)]);
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

describe('the guarantee of an iteration', () => {
  test('is kept by each block, from either start', async () => {
    const flow = smallFlow();
    const tokens = tokenCount(flow.config);
    const z = randomLatents(flow, 3, 5);
    const trajectory = await samplingTrajectory(flow, z);
    expectNoTensorsLeft();
    for (const own of trajectory.blocks) {
      for (const [promised, solver] of [
        [tokens - 1, { kind: 'jacobi', tolerance: 0 }],
        [
          tokens,
          {
            kind: 'publishedGaussSeidelJacobi',
            segments: 1,
            maximum: tokens,
            start: 'allZeros',
            tolerance: 0,
          },
        ],
      ] as const) {
        const check = { samples: 2, promised, rounding: 1e-4 };
        const { close, error } = await checkGuarantee(own, solver, check);
        expect(error).toBeLessThan(1e-5);
        expect(close).toBeLessThanOrEqual(promised);
        expect(close).toBeGreaterThan(0);
      }
    }
  });

  test('is seen to be broken where more is promised than holds', async () => {
    const flow = smallFlow();
    const z = randomLatents(flow, 2, 6);
    const trajectory = await samplingTrajectory(flow, z);
    // Promised after one iteration: then all tokens but one would have to be right at the start.
    const check = { samples: 2, promised: 1, rounding: 1e-4 };
    const { error } = await checkGuarantee(
      trajectory.blocks[1]!,
      { kind: 'jacobi', tolerance: 0 },
      check,
    );
    expect(error).toBeGreaterThan(1e-3);
  });
});
