import { expect, expectTypeOf, test } from 'vitest';
import { tf, tidy } from '../../src/core/tf.js';

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

test('results have the rank that they have when they run, as far as the arguments tell it', () => {
  tf.tidy(() => {
    const x = tf.zeros([2, 3, 4]);
    const row: tf.Tensor1D = tf.ones([4]);
    const unknown: tf.Tensor = x;
    const [first, second] = tf.split(x, 2, 2);
    const results = {
      shaped: [tf.reshape(x, [6, 4]), 2],
      broadcast: [tf.add(row, x), 3],
      scaled: [tf.mul(2, x), 3],
      reduced: [tf.sum(x, [0, 2]), 1],
      total: [tf.mean(x), 0],
      kept: [tf.mean(x, -1, true), 3],
      longer: [tf.expandDims(x, 0), 4],
      shorter: [tf.squeeze(tf.slice(x, 0, 1), [0]), 2],
      joined: [tf.concat([first, second], 2), 3],
      stacked: [tf.stack([row, row]), 2],
      taken: [tf.gather(x, tf.scalar(1, 'int32')), 2],
    } as const;
    for (const [tensor, rank] of Object.values(results)) expect(tensor.rank).toBe(rank);
    expectTypeOf(results.shaped[0]).toEqualTypeOf<tf.Tensor2D>();
    expectTypeOf(results.broadcast[0]).toEqualTypeOf<tf.Tensor3D>();
    expectTypeOf(results.scaled[0]).toEqualTypeOf<tf.Tensor3D>();
    expectTypeOf(results.reduced[0]).toEqualTypeOf<tf.Tensor1D>();
    expectTypeOf(results.total[0]).toEqualTypeOf<tf.Scalar>();
    expectTypeOf(results.kept[0]).toEqualTypeOf<tf.Tensor3D>();
    expectTypeOf(results.longer[0]).toEqualTypeOf<tf.Tensor4D>();
    expectTypeOf(results.shorter[0]).toEqualTypeOf<tf.Tensor2D>();
    expectTypeOf(results.joined[0]).toEqualTypeOf<tf.Tensor3D>();
    expectTypeOf(results.stacked[0]).toEqualTypeOf<tf.Tensor2D>();
    expectTypeOf(results.taken[0]).toEqualTypeOf<tf.Tensor2D>();
    expectTypeOf(tf.add(unknown, x)).toEqualTypeOf<tf.Tensor>();
    // @ts-expect-error: three axes are not two
    const wrong: tf.Tensor2D = tf.add(x, row);
    expect(wrong.rank).toBe(3);
  });
});
