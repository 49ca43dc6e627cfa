import { expect, test } from 'vitest';
import {
  confusionCounts,
  crossEntropy,
  logMeanExp,
  mostLikely,
  reliability,
  softmax,
} from '../../../workbook/measures/classification.js';

/** Scores whose softmax is these probabilities, moved by a constant that must not matter. */
const scoresOf = (...probabilities: number[]) => probabilities.map((p) => Math.log(p) - 1000);

test('probabilities are a softmax, which a constant does not change and a temperature flattens', () => {
  const scores = scoresOf(0.5, 0.25, 0.25);
  [0.5, 0.25, 0.25].forEach((p, i) => {
    expect(softmax(scores)[i]).toBeCloseTo(p, 12);
    // p^(1/T), normalised.
    expect(softmax(scores, 2)[i]).toBeCloseTo(Math.sqrt(p) / (Math.sqrt(0.5) + 1), 12);
  });
  expect(mostLikely(scores)).toBe(0);
  expect(logMeanExp([Math.log(2), Math.log(4)])).toBeCloseTo(Math.log(3), 12);
});

test('the cross-entropy is the mean of −log p(label), at any temperature', () => {
  const scores = [scoresOf(0.5, 0.5), scoresOf(0.8, 0.2)];
  expect(crossEntropy(scores, [0, 1])).toBeCloseTo(-Math.log(0.5 * 0.2) / 2, 12);
  for (const temperature of [0.3, 1, 4]) {
    const expected = scores.map((row, i) => -Math.log(softmax(row, temperature)[i] as number));
    const mean = ((expected[0] as number) + (expected[1] as number)) / 2;
    expect(crossEntropy(scores, [0, 1], temperature)).toBeCloseTo(mean, 12);
  }
});

test('the calibration error is the mean distance from the diagonal, weighted by images', () => {
  // Three images of confidence 0.8, one of them wrong, and one of confidence 0.6, right.
  const scores = [...Array(3).fill(scoresOf(0.8, 0.2)), scoresOf(0.4, 0.6)];
  const { error, bins } = reliability(scores, [0, 0, 1, 1]);
  expect(bins).toHaveLength(2);
  expect(bins[0]).toMatchObject({ images: 1, accuracy: 1 });
  expect(bins[1]?.accuracy).toBeCloseTo(2 / 3, 12);
  expect(bins[1]?.confidence).toBeCloseTo(0.8, 12);
  expect(error).toBeCloseTo(0.75 * (0.8 - 2 / 3) + 0.25 * 0.4, 12);
  // A probability of 1 falls into the last bin.
  expect(reliability([[0, -1e4]], [0]).bins).toEqual([{ images: 1, confidence: 1, accuracy: 1 }]);
});

test('confusions are counted by true class, then by guess', () => {
  expect(confusionCounts([0, 1, 1, 0], [0, 0, 1, 1], 2)).toEqual([
    [1, 1],
    [1, 1],
  ]);
  expect(confusionCounts([2], [0], 3)).toEqual([
    [0, 0, 1],
    [0, 0, 0],
    [0, 0, 0],
  ]);
  expect(() => confusionCounts([0, 1], [0, -1], 2)).toThrow(
    'Image 1 has the label -1 and the guess 1. Expected classes from 0 to 1.',
  );
  expect(() => confusionCounts([2], [0], 2)).toThrow(RangeError);
});
