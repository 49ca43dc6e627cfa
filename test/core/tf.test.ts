import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { tf, tidy } from '../../src/core/tf.js';

beforeAll(async () => {
  await startEngine();
});

interface Result {
  loss: tf.Scalar;
  terms: Record<string, tf.Tensor1D>;
  pair: [tf.Scalar, number];
  absent: tf.Tensor | undefined;
  kind: 'flow' | 'classifier';
}

test('tidy keeps the tensors of a nested result, with its type, and frees all others', () => {
  const before = tf.memory().numTensors;
  const result: Result = tidy(() => {
    const numbers = tf.tensor1d([1, 2, 3]);
    const terms = { squared: tf.square(numbers), doubled: tf.mul<tf.Tensor1D>(numbers, 2) };
    return {
      loss: tf.sum(terms.squared),
      terms,
      pair: [tf.scalar(7), 3],
      absent: undefined,
      kind: 'flow',
    };
  });
  expect(tf.memory().numTensors).toBe(before + 4);
  expect(result.loss.arraySync()).toBe(14);
  expect(result.terms.doubled?.arraySync()).toEqual([2, 4, 6]);
  expect([result.pair[0].arraySync(), result.pair[1]]).toEqual([7, 3]);
  expect([result.absent, result.kind]).toEqual([undefined, 'flow']);
  tf.dispose([result.loss, result.terms, result.pair[0]]);
  expect(tf.memory().numTensors).toBe(before);
});

test('tidy frees everything when the function throws, and returns what is no tensor', () => {
  const before = tf.memory().numTensors;
  const failing = (): tf.Tensor => {
    tf.ones([3]);
    throw new Error('no result');
  };
  expect(() => tidy(failing)).toThrow('no result');
  const size: number = tidy(() => tf.ones([3]).size);
  expect([size, tf.memory().numTensors]).toEqual([3, before]);
});
