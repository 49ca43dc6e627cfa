import { describe, expect, test } from 'vitest';
import { convergedBelow, lossConvergence } from '../../../workbook/measures/loss-convergence.js';

/** A log whose validations are these; training steps lie between. */
const log = (losses: Record<number, number>) =>
  Object.entries(losses).flatMap(([step, loss]) => [
    { step: Number(step) - 1 },
    { step: Number(step), validation: { loss } },
  ]);

describe('the convergence of a training', () => {
  test('is the change over its last fifth, of the size of the loss', () => {
    const found = lossConvergence(log({ 200: 5, 600: 2.5, 800: 2.008, 900: 2.003, 1000: 2 }));
    expect(found).toMatchObject({ from: 800, to: 1000, converged: true });
    expect(found?.change).toBeCloseTo(-0.008, 12);
    expect(found?.share).toBeCloseTo(0.004, 12);
  });

  test('takes the line between two validations, where none was at the beginning of that fifth', () => {
    const found = lossConvergence(log({ 300: 3, 600: 2.1, 900: 2.04, 1000: 2 }));
    // Two thirds of the way from 2.1 to 2.04.
    expect(found).toMatchObject({ from: 800, to: 1000, converged: false });
    expect(found?.share).toBeCloseTo(0.03, 12);
    expect(found?.change).toBeCloseTo(-0.06, 12);
    // Of other spacing, the same curve is told the same.
    const line = (step: number) => 2 - step / 1000;
    const told = [
      [100, 840, 1641],
      [100, 1312, 1400, 1641],
      [100, 1200, 1641],
    ].map(
      (steps) =>
        lossConvergence(log(Object.fromEntries(steps.map((at) => [at, line(at)]))))?.change,
    );
    for (const change of told) expect(change).toBeCloseTo(-0.329, 12);
  });

  test('is told of the absolute value, for a loss below zero and one that rises', () => {
    const falling = lossConvergence(log({ 80: -1.99, 100: -2 }));
    const rising = lossConvergence(log({ 80: -2.01, 100: -2 }));
    for (const found of [falling, rising]) expect(found?.share).toBeCloseTo(0.005, 12);
    expect(falling?.change).toBeCloseTo(-0.01, 12);
    expect(rising?.change).toBeCloseTo(0.01, 12);
  });

  test('is below the rule, and not at it', () => {
    expect(lossConvergence(log({ 4: 8 + 8 / 128, 5: 8 }))?.converged).toBe(false);
    const atRule = { 4: 1 + convergedBelow, 5: 1 };
    expect(lossConvergence(log(atRule))?.share).toBeCloseTo(convergedBelow, 12);
    expect(lossConvergence(log({ 4: 8 + 1 / 32, 5: 8 }))?.converged).toBe(true);
  });

  test('counts what lies between: a loss that goes up and comes back has changed', () => {
    const found = lossConvergence(log({ 80: 1, 90: 1.5, 100: 1 }));
    expect(found).toMatchObject({ change: 0, share: 0.5, converged: false });
  });

  test('grows without bound near a loss of zero, of which there is no share', () => {
    const near = lossConvergence(log({ 80: 0.001, 100: 0.000_01 }));
    expect(near?.share).toBeCloseTo(99, 9);
    expect(near?.converged).toBe(false);
    expect(lossConvergence(log({ 80: 1, 100: 0 }))).toBeUndefined();
  });

  test('is not known of one validation, of none, or where one is not finite', () => {
    expect(lossConvergence([])).toBeUndefined();
    expect(lossConvergence([{ step: 1 }])).toBeUndefined();
    expect(lossConvergence(log({ 100: 1 }))).toBeUndefined();
    expect(lossConvergence(log({ 90: 1, 100: 1 }))).toBeUndefined();
    // A long gap tells nothing of the step at which the last fifth begins.
    expect(lossConvergence(log({ 30: 1, 100: 1 }))).toBeUndefined();
    expect(lossConvergence(log({ 80: 1, 90: Number.NaN, 100: 1 }))).toBeUndefined();
    expect(lossConvergence(log({ 80: 1, 100: Number.POSITIVE_INFINITY }))).toBeUndefined();
  });
});
