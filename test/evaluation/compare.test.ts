import { describe, expect, test } from 'vitest';
import { compare, type Rule } from '../conformance/conform.js';

const elementwise: Rule = { error: 'elementwise', atol: 0.1, rtol: 0.01 };
const max: Rule = { error: 'max', atol: 0.1, rtolOfMax: 0.01 };
const relativeL2: Rule = { error: 'relativeL2', max: 0.1, normFloor: 1e-3 };

describe('elementwise: |got − ref| ≤ atol + rtol·|ref| for every element', () => {
  test('the bound is each element its own', () => {
    expect(compare([1.1, 101], [1, 100], elementwise).pass).toBe(true);
    const outcome = compare([1.2, 101], [1, 100], elementwise);
    expect(outcome.pass).toBe(false);
    expect(outcome.error).toBeCloseTo(0.2, 10);
    expect(outcome.bound).toBeCloseTo(0.11, 10);
    // The larger error is within its bound, the smaller is not.
    expect(compare([0.15, 101], [0, 100], elementwise)).toMatchObject({ pass: false, bound: 0.1 });
  });

  test('the bound belongs to it', () => {
    expect(compare([0.5], [0], { error: 'elementwise', atol: 0.5, rtol: 0 }).pass).toBe(true);
  });
});

describe('max: max|got − ref| ≤ atol + rtolOfMax·max|ref|', () => {
  test('the bound is the same for all elements', () => {
    const outcome = compare([1.2, 100, -200], [1, 100, -200], max);
    expect(outcome.error).toBeCloseTo(0.2, 10);
    expect(outcome).toMatchObject({ bound: 2.1, pass: true });
    expect(compare([3.2, 100, -200], [1, 100, -200], max).pass).toBe(false);
  });
});

describe('relativeL2: ‖got − ref‖ ≤ max·max(‖ref‖, normFloor)', () => {
  test('relative to the norm of the whole tensor', () => {
    const outcome = compare([3.3, 4.4], [3, 4], relativeL2);
    expect(outcome.error).toBeCloseTo(0.1, 10);
    expect(outcome.bound).toBe(0.1);
    expect(compare([3.2, 4.4], [3, 4], relativeL2).pass).toBe(true);
    expect(compare([3.4, 4.4], [3, 4], relativeL2).pass).toBe(false);
  });

  test('relative to the floor where the tensor is smaller', () => {
    expect(compare([9e-5], [0], relativeL2).pass).toBe(true);
    expect(compare([2e-4], [0], relativeL2)).toMatchObject({ pass: false });
  });
});

describe('either: one of several rules holds', () => {
  const strict: Rule = { error: 'max', atol: 1e-6, rtolOfMax: 0 };
  const either: Rule = { error: 'either', anyOf: [strict, relativeL2] };

  test('it reports the rule that passes, else the first', () => {
    expect(compare([3.1, 4], [3, 4], either)).toMatchObject({ pass: true, bound: 0.1 });
    expect(compare([4, 4], [3, 4], either)).toEqual({ error: 1, bound: 1e-6, pass: false });
  });
});

describe('what never passes', () => {
  const rules: [string, Rule][] = [
    ['elementwise', { error: 'elementwise', atol: 1e30, rtol: 1e30 }],
    ['max', { error: 'max', atol: 1e30, rtolOfMax: 1e30 }],
    ['relativeL2', { error: 'relativeL2', max: 1e30, normFloor: 1e30 }],
    ['either', { error: 'either', anyOf: [{ error: 'max', atol: 1e30, rtolOfMax: 0 }] }],
  ];
  test.each(rules)('%s: numbers that are not finite, on either side or both', (_, rule) => {
    expect(compare([1, 2], [3, 4], rule).pass).toBe(true);
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(compare([1, odd], [3, 4], rule)).toMatchObject({ pass: false, note: 'not finite' });
      expect(compare([1, 2], [3, odd], rule)).toMatchObject({ pass: false, note: 'not finite' });
      expect(compare([1, odd], [3, odd], rule)).toMatchObject({ pass: false, note: 'not finite' });
    }
  });

  test.each(rules)('%s: another number of numbers, or none', (_, rule) => {
    expect(compare([1], [1, 2], rule)).toMatchObject({
      pass: false,
      note: 'expected 2 numbers, got 1',
    });
    expect(compare([], [], rule)).toMatchObject({ pass: false, note: 'nothing to compare' });
  });
});
