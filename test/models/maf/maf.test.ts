import { describe, expect, test } from 'vitest';
import { classMixture } from '../../../src/conditions/labels.js';
import { leaves, normal, randomKey, tf, withLeaves } from '../../../src/core/index.js';
import { forward } from '../../../src/flow/forward.js';
import { disposeModel, freshModel } from '../../../src/flow/state-dict.js';
import { type MafConfig, maf } from '../../../src/models/index.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { difference, movedModel } from '../cases.js';
import { mafCases } from './cases.js';

const small = mafCases.configurations['two blocks of one layer'] as MafConfig;
const conditional: MafConfig = { ...small, classes: 2, hiddenLayers: 2 };

describe('a block of a MAF', () => {
  test('predicts the same from a cache, wherever the tokens are cut', () => {
    tf.tidy(() => {
      const model = movedModel(mafCases, conditional);
      const [, block] = maf.blocks!(model);
      const conditions = { classes: classMixture(conditional, [0, 1], 2) };
      const tokens = tf.tensor3d(normal(randomKey(3), 30), [2, 15, 1]);
      const whole = block!.predict(tokens, { conditions }).next;
      expect(whole.mean.shape).toEqual([2, 16, 1]);
      for (const cut of [0, 1, 7, 14]) {
        const [head, tail] = tf.split(tokens, [cut, 15 - cut], 1) as [tf.Tensor3D, tf.Tensor3D];
        const first = block!.predict(head, { conditions, keepCache: true });
        expect(first.cache!.tokens!.shape).toEqual([2, 1, cut, 1]);
        const place = { start: cut, cache: first.cache, conditions };
        const second = block!.predict(tail, place).next;
        for (const part of ['mean', 'logScale'] as const) {
          const joined = tf.concat([first.next[part]!, second[part]!], 1);
          expect(difference(joined, whole[part]!)).toBeLessThan(1e-5);
        }
      }
    });
  });

  test('predicts the first number, too, and by the class', () => {
    tf.tidy(() => {
      const [block] = maf.blocks!(movedModel(mafCases, conditional));
      const none = tf.zeros([1, 0, 1]);
      const of = (label: number): tf.Tensor =>
        block!.predict(none, { conditions: { classes: classMixture(conditional, label, 1) } }).next
          .mean;
      expect(of(0).shape).toEqual([1, 1, 1]);
      expect(difference(of(0), of(1))).toBeGreaterThan(1e-3);
    });
  });

  test('has an output layer that sees what the mask leaves', () => {
    tf.tidy(() => {
      const [block] = maf.blocks!(movedModel(mafCases, { ...small, hiddenUnits: 32 }));
      const { mean, logScale } = block!.outputWeights();
      for (const weight of [mean, logScale!]) {
        expect(weight.shape).toEqual([16, 32]);
        // Two units of each degree 0 … 15.
        (weight.arraySync() as number[][]).forEach((row, token) => {
          expect(row.filter((value) => value !== 0)).toHaveLength(2 * (token + 1));
        });
      }
    });
  });
});

test('the first block starts by normalising each number of the data', () => {
  expectNoTensorsLeft();
  const model = freshModel(maf, small, 1);
  tf.tidy(() => {
    const noise = tf.tensor4d(normal(randomKey(4), 500 * 16), [500, 1, 4, 4]);
    const column = tf.tensor4d([0.1, 1, 2, 0.5], [1, 1, 1, 4]);
    const x = tf.add(tf.mul(noise, column), tf.sub(column, 3));
    const started = maf.start!(model, x, {});
    const parameters = withLeaves(model.parameters, { ...leaves(model.parameters), ...started });
    const { z } = forward({ ...model, parameters }, x);
    const { mean, variance } = tf.moments(z, 0);
    expect(difference(mean, tf.zerosLike(mean))).toBeLessThan(1e-4);
    // A pseudo-image of variance 1 widens the smallest scale, 0.1, by a tenth.
    for (const value of variance.dataSync()) {
      expect(value).toBeGreaterThan(0.8);
      expect(value).toBeLessThan(1.01);
    }
  });
  disposeModel(model);
});

test.each<[string, Partial<MafConfig>, string]>([
  ['no block', { blocks: 0 }, 'blocks is 0'],
  ['half a unit', { hiddenUnits: 0.5 }, 'hiddenUnits is 0.5'],
  ['a single number', { image: { channels: 1, height: 1, width: 1 } }, 'is a single number'],
])('a configuration that does not fit is refused: %s', (_, changes, message) => {
  expect(() => freshModel(maf, { ...small, ...changes }, 0)).toThrow(message);
});
