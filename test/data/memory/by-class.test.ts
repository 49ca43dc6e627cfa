import { expect, test } from 'vitest';
import { firstOfEachClass } from '../../../src/data/index.js';

const data = {
  name: 'made-up',
  classes: ['a', 'b'],
  labels: Int32Array.of(1, 0, 1, 0, 0, 1),
};

test('the first images of each class, class by class or in turn', () => {
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

test('a class with too few images is named', () => {
  expect(() => firstOfEachClass(data, 2, { skip: 2 })).toThrow(
    'made-up has 3 images of a, and 4 are asked for.',
  );
});
