import { describe, expect, test } from 'vitest';
import { tf, UserError } from '../../src/core/index.js';
import {
  disposeTree,
  grouped,
  leaf,
  leaves,
  mapTree,
  treeSize,
  valueAndGradient,
  withLeaves,
} from '../../src/core/tree.js';
import { expectNoTensorsLeft } from '../leaks.js';

const tree = () => ({
  blocks: [{ weight: tf.tensor1d([1, 2]), bias: tf.scalar(3) }, { weight: tf.tensor1d([4, 5]) }],
  absent: undefined,
});

describe('parameter trees', () => {
  test('leaves have dotted names, and a tree can be rebuilt from them', () => {
    tf.tidy(() => {
      const original = tree();
      const named = leaves(original);
      expect(Object.keys(named)).toEqual(['blocks.0.weight', 'blocks.0.bias', 'blocks.1.weight']);
      const doubled = Object.fromEntries(
        Object.entries(named).map(([name, leaf]) => [name, tf.mul(leaf, 2)]),
      );
      const rebuilt = withLeaves(original, doubled);
      expect(Array.from(rebuilt.blocks[1]!.weight.dataSync())).toEqual([8, 10]);
      expect(treeSize(original)).toBe(5);
    });
  });

  test('a leaf by its name has the rank that is asked for, or an error says what came', () => {
    tf.tidy(() => {
      const named = leaves(tree());
      const [length] = leaf(named, 'blocks.0.weight', 1).shape;
      expect(length).toBe(2);
      expect(() => leaf(named, 'blocks.0.weight', 2)).toThrow(
        'The tensor blocks.0.weight has shape (2). Expected one of 2 axes',
      );
      expect(() => leaf(named, 'absent', 1)).toThrow('The tensor absent is missing');
    });
  });

  test('a missing leaf or a wrong shape is named', () => {
    tf.tidy(() => {
      const original = tree();
      expect(() => withLeaves(original, {})).toThrow(
        new UserError(
          'There is no tensor for the leaf blocks.0.weight',
          'Give one of shape (2) under this name',
        ),
      );
      const wrong = { ...leaves(original), 'blocks.0.bias': tf.tensor1d([1, 2, 3]) };
      expect(() => withLeaves(original, wrong)).toThrow(
        new UserError('The leaf blocks.0.bias got a tensor of shape (3)', 'Expected ()'),
      );
    });
  });

  test('leaves of records are told apart by what stands before the first dot', () => {
    const [a, b, c] = [tf.scalar(1), tf.scalar(2), tf.scalar(3)];
    const groups = { first: { 'x.y': a, z: b }, second: { z: c } };
    expect(grouped(leaves(groups))).toEqual(groups);
    expect(grouped({ bare: a, 'with.dot': b })).toEqual({ with: { dot: b } });
  });

  test('disposing frees every leaf', () => {
    expectNoTensorsLeft();
    const original = tree();
    const copy = mapTree(original, (leaf) => leaf.clone());
    disposeTree(original);
    disposeTree(copy);
  });

  test('value, gradient and auxiliary tensors come back, and nothing else stays', () => {
    const parameters = { used: tf.tensor1d([1, 2]), unused: tf.tensor1d([7, 7, 7]) };
    const before = tf.memory().numTensors;
    const result = valueAndGradient((p) => {
      const square = tf.square(p.used as tf.Tensor);
      return { value: tf.sum(square), auxiliary: { square } };
    }, parameters);
    expect(tf.memory().numTensors).toBe(before + 4);
    expect(result.value.dataSync()[0]).toBe(5);
    expect(Array.from(result.gradient.used!.dataSync())).toEqual([2, 4]);
    expect(Array.from(result.gradient.unused!.dataSync())).toEqual([0, 0, 0]);
    expect(Array.from(result.auxiliary.square.dataSync())).toEqual([1, 4]);
    tf.dispose([result.value, result.gradient, result.auxiliary]);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('a surrounding tidy frees the auxiliary tensors too', () => {
    const parameters = { w: tf.tensor1d([1, 2]) };
    expectNoTensorsLeft();
    tf.tidy(() => {
      valueAndGradient(
        (p) => ({ value: tf.sum(p.w as tf.Tensor) as tf.Scalar, auxiliary: { w: tf.exp(p.w!) } }),
        parameters,
      );
    });
  });
});
