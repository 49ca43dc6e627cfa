import { expect, test } from 'vitest';
import { isSmooth } from '../../../workbook/measures/distribution.js';

const training = (losses: readonly number[], held: readonly number[] = [3, 2, 1]) =>
  losses.map((loss, i) => ({
    step: i + 1,
    loss,
    ...(held[i] !== undefined && { validation: { loss: held[i] } }),
  }));
const rule = { steps: 3, warmupSteps: 1, most: 0.1 };

test('a training is smooth where validations fall and no step rises much', () => {
  expect(isSmooth(training([5, 4, 4.05, 3.9]), rule)).toBe(true);
  expect(isSmooth(training([5, 4, 4.2, 3.9]), rule)).toBe(false);
  // A rise in small steps counts from the least loss.
  expect(isSmooth(training([5, 4, 4.06, 4.12]), rule)).toBe(false);
  expect(isSmooth(training([5, 4, 3], [3, 2, 2]), rule)).toBe(false);
});

test('the warm-up may rise, and nothing may end early or be no number', () => {
  expect(isSmooth(training([5, 4]), rule)).toBe(false);
  expect(isSmooth(training([5, 6, 4]), { ...rule, warmupSteps: 2 })).toBe(true);
  for (const [losses, held] of [
    [
      [5, Number.NaN, 3],
      [3, 2, 1],
    ],
    [
      [Number.NaN, 4, 3],
      [3, 2, 1],
    ],
    [
      [5, 4, 3],
      [3, Number.NaN, 1],
    ],
    [
      [5, Number.POSITIVE_INFINITY, 3],
      [3, 2, 1],
    ],
  ] as const) {
    expect(isSmooth(training(losses, held), rule)).toBe(false);
  }
});
