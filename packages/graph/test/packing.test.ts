import { beforeAll, expect, test } from 'vitest';
import { Packing } from '../src/index.js';
import { tf } from '../src/tf.js';

beforeAll(async () => {
  require('@tensorflow/tfjs-backend-cpu');
  await tf.setBackend('cpu');
});

const groups = { one: { a: [2, 2], b: [] }, two: { c: [3] } };

/** In another order than that of the groups. */
function tensors() {
  return {
    c: tf.tensor1d([6, 7, 8]),
    other: tf.scalar(9),
    b: tf.scalar(5),
    a: tf.tensor2d([1, 2, 3, 4], [2, 2]),
  };
}

test('under XLA groups of tensors become vectors, and come back', () => {
  const packing = new Packing(groups, 'xla');
  const before = tf.memory().numTensors;
  const given = tensors();
  const held = packing.pack(given);
  expect(Object.keys(held)).toEqual(['other', 'packed one', 'packed two']);
  expect(Array.from(held['packed one']!.dataSync())).toEqual([1, 2, 3, 4, 5]);
  expect(packing.held('two', held)).toEqual({ 'packed two': held['packed two'] });
  const found = packing.unpack(held);
  expect(Object.keys(found).sort()).toEqual(['a', 'b', 'c', 'other']);
  for (const [name, tensor] of Object.entries(given)) {
    expect(found[name]!.arraySync(), name).toEqual(tensor.arraySync());
  }
  // A group that is not there stays away.
  expect(packing.pack({ other: given.other })).toEqual({ other: given.other });
  tf.dispose([given, held, found]);
  expect(tf.memory().numTensors).toBe(before);
});

test('a vector of another length is refused', () => {
  const packing = new Packing(groups, 'xla');
  expect(() => packing.unpack({ 'packed one': tf.zeros([8]) })).toThrow(
    '8 numbers came for the 2 tensors of one. Expected 5',
  );
});

test.each(['graph', 'eager', undefined] as const)('in mode %s each stays by itself', (mode) => {
  const packing = new Packing(groups, mode);
  const given = tensors();
  expect(packing.unpack(packing.pack(given))).toBe(given);
  expect(packing.held('one', given)).toEqual({ a: given.a, b: given.b });
});
