import { describe, expect, test } from 'vitest';
import { heldOutCounts, inTurn, splitIndices } from '../../../src/data/memory/splits.js';

describe('the last of each class are held out', () => {
  test('so many, or the tenth of a small class', () => {
    const labels = [...Array(25).fill(0), ...Array(9).fill(1), ...Array(100).fill(3)];
    expect(heldOutCounts(labels, 5, 5)).toEqual([2, 0, 0, 5, 0]);
  });

  const labels = Array.from({ length: 40 }, (_, i) => i % 2);

  test('and the rest is trained on, in its order', () => {
    const of = (split: 'train' | 'validation' | 'train+validation') => [
      ...splitIndices(split, labels, { classes: 2, heldOut: 9 }),
    ];
    expect(of('validation')).toEqual([36, 37, 38, 39]);
    expect(of('train')).toEqual([...Array(36).keys()]);
    expect(of('train+validation')).toEqual([...Array(40).keys()]);
  });

  test('without classes they are the last of all', () => {
    const none = new Int32Array(40).fill(-1);
    const options = { classes: 0, heldOut: 3 };
    expect([...splitIndices('validation', none, options)]).toEqual([37, 38, 39]);
  });
});

describe('one of each class in turn', () => {
  test('until a class has none left', () => {
    const labels = [2, 2, 0, 0, 0, 1, 2];
    const order = inTurn(labels, Int32Array.of(0, 1, 2, 4, 5, 6));
    expect([...order]).toEqual([2, 5, 0, 4, 1, 6]);
  });

  test('without classes as they come', () => {
    expect([...inTurn([-1, -1, -1], Int32Array.of(2, 0))]).toEqual([2, 0]);
    expect(inTurn([], Int32Array.of()).length).toBe(0);
  });
});
