import { describe, expect, test } from 'vitest';
import { type Leaves, tf } from '../../../src/core/index.js';
import {
  type AdamWOptions,
  adamWInit,
  adamWUpdate,
  biasCorrections,
} from '../../../src/training/optimiser/adamw.js';
import { expectNoTensorsLeft } from '../../leaks.js';

/** Scalar updates by the library: the parameter after each gradient. */
function path(start: number, gradients: number[], rate: number, options?: AdamWOptions): number[] {
  return tf.tidy(() => {
    let parameters: Leaves = { p: tf.scalar(start) };
    let moments: { first: Leaves; second: Leaves } = adamWInit(parameters);
    return gradients.map((gradient, i) => {
      const corrections = biasCorrections(i + 1, options);
      const g = { p: tf.scalar(gradient) };
      const updated = adamWUpdate(parameters, g, moments, rate, corrections, options);
      parameters = updated.parameters;
      moments = updated;
      return parameters.p!.dataSync()[0] as number;
    }) as never;
  }) as unknown as number[];
}

describe('AdamW on one number', () => {
  // Step 1: m = 0.05, v = 0.0125, both divided by 1 − β: 0.5 and 0.25, so the step is the rate.
  // Step 2: m = 0.9·0.05 − 0.1·0.25 = 0.02, v = 0.95·0.0125 + 0.05·0.0625 = 0.015; corrected
  // 0.02/0.19 and 0.015/0.0975. Decay first: p·(1 − 0.1·1e-4).
  const [first, second] = [
    0.89999,
    0.89999 * (1 - 1e-5) - (0.1 * 0.02) / 0.19 / Math.sqrt(0.015 / 0.0975),
  ];

  test("two steps by hand with the papers' constants", () => {
    const [p1, p2] = path(1, [0.5, -0.25], 0.1) as [number, number];
    expect(p1).toBeCloseTo(first, 6);
    expect(p2).toBeCloseTo(second, 6);
    expect(second).toBeCloseTo(0.873144, 6);
  });
});

test('every leaf is updated, in new tensors, and nothing leaks', () => {
  expectNoTensorsLeft();
  const parameters: Leaves = { weight: tf.ones([2, 2]), bias: tf.zeros([2]) };
  const moments = adamWInit(parameters);
  const gradient: Leaves = { weight: tf.ones([2, 2]), bias: tf.fill([2], -1) };
  const updated = tf.tidy(
    () => adamWUpdate(parameters, gradient, moments, 0.1, biasCorrections(1)) as never,
  ) as unknown as ReturnType<typeof adamWUpdate>;
  expect(updated.parameters.weight!.shape).toEqual([2, 2]);
  for (const value of updated.parameters.bias!.dataSync()) expect(value).toBeCloseTo(0.1, 6);
  for (const value of updated.second.weight!.dataSync()) expect(value).toBeCloseTo(0.05, 6);
  expect(parameters.weight!.dataSync()[0]).toBe(1);
  tf.dispose([parameters, moments.first, moments.second, gradient]);
  tf.dispose([updated.parameters, updated.first, updated.second]);
});
