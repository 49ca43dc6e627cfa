import { describe, expect, test } from 'vitest';
import { firstOfEachClass, type Split } from '../../src/data/index.js';
import { inTurn, splitIndices } from '../../src/data/splits.js';

describe('the last of each class are held out', () => {
  test('so many, or the tenth of a small class', () => {
    const labels = [...Array(25).fill(0), ...Array(9).fill(1), ...Array(100).fill(3)];
    const held = [...splitIndices('validation', labels, { classes: 5, heldOut: 5 })];
    expect(held.map((index) => labels[index])).toEqual([0, 0, 3, 3, 3, 3, 3]);
  });

  const labels = Array.from({ length: 40 }, (_, i) => i % 2);

  test('and the rest is trained on, in its order', () => {
    const of = (split: Split) => [...splitIndices(split, labels, { classes: 2, heldOut: 9 })];
    expect(of('validation')).toEqual([36, 37, 38, 39]);
    expect(of('train')).toEqual([...Array(36).keys()]);
    expect(of('train+validation')).toEqual([...Array(40).keys()]);
    expect(of('test')).toEqual([...Array(40).keys()]);
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

describe('the first images of each class', () => {
  const data = {
    name: 'made-up',
    classes: ['a', 'b'],
    labels: Int32Array.of(1, 0, 1, 0, 0, 1),
  };

  test('are class by class or in turn', () => {
    expect(firstOfEachClass(data)).toEqual([1, 0]);
    expect(firstOfEachClass(data, 2)).toEqual([1, 3, 0, 2]);
    expect(firstOfEachClass(data, 2, { skip: 1 })).toEqual([3, 4, 2, 5]);
    expect(firstOfEachClass(data, 2, { skip: 1, inTurn: true })).toEqual([3, 2, 4, 5]);
  });

  test('images without a label are passed over, and without classes there are none', () => {
    const some = { ...data, labels: Int32Array.of(-1, 1, -1, 0, 0, 1) };
    expect(firstOfEachClass(some, 2)).toEqual([3, 4, 1, 5]);
    const bare = { name: 'made-up', classes: [], labels: new Int32Array(6).fill(-1) };
    expect(firstOfEachClass(bare, 2)).toEqual([]);
  });

  test('of a class with too few images are refused with its name', () => {
    expect(() => firstOfEachClass(data, 2, { skip: 2 })).toThrow(
      'made-up has 3 images of a, and 4 are asked for.',
    );
  });
});
