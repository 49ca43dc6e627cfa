import { expect, test } from 'vitest';
import { leaves, normal, randomKey, tf, withLeaves } from '../../../src/core/index.js';
import { forward } from '../../../src/flow/forward.js';
import { disposeModel, freshModel } from '../../../src/flow/state-dict.js';
import { type CouplingConfig, levelShapes } from '../../../src/models/coupling/config.js';
import { coupling } from '../../../src/models/coupling/index.js';
import { sample } from '../../../src/sampling/sample.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { difference, movedModel } from '../cases.js';
import { couplingCases } from './cases.js';

const small = couplingCases.configurations['two levels'] as CouplingConfig;

test('levels halve the sides, and half of the channels leave', () => {
  const image = { channels: 1, height: 28, width: 28 };
  expect(levelShapes({ ...small, image })).toEqual([
    { factors: [2, 2], height: 14, width: 14, channels: 4 },
    { factors: [2, 2], height: 7, width: 7, channels: 8 },
  ]);
  expect(levelShapes({ ...small, image: { channels: 3, height: 2, width: 1 }, levels: 1 })).toEqual(
    [{ factors: [2, 1], height: 1, width: 1, channels: 6 }],
  );
});

test('starts from data by normalising all that it makes of them', () => {
  expectNoTensorsLeft();
  const model = freshModel(coupling, small, 1);
  tf.tidy(() => {
    const noise = tf.tensor4d(normal(randomKey(4), 500 * 16), [500, 1, 4, 4]);
    const column = tf.tensor4d([0.1, 1, 2, 0.5], [1, 1, 1, 4]);
    const x = tf.add(tf.mul(noise, column), tf.sub(column, 3));
    const started = coupling.start!(model, x, {});
    const [steps, ofStep, ofPrior] = [2 * small.stepsPerLevel, 2, 2];
    expect(Object.keys(started)).toHaveLength(steps * ofStep + ofPrior);
    const parameters = withLeaves(model.parameters, { ...leaves(model.parameters), ...started });
    const { outputs, z } = forward({ ...model, parameters }, x);
    expect(outputs.map(({ shape }) => shape)).toEqual([
      [500, 2, 2, 2],
      [500, 1, 1, 8],
    ]);
    expect(z.shape).toEqual([500, 1, 16]);
    // After a rotation, variances of channels that are correlated are no longer 1 each.
    for (const [output, apart] of [
      [outputs[0]!, 0.3],
      [outputs[1]!, 0.01],
    ] as const) {
      const { mean, variance } = tf.moments(output, [0, 1, 2]);
      expect(difference(mean, tf.zerosLike(mean))).toBeLessThan(0.01);
      expect(difference(variance, tf.onesLike(variance))).toBeLessThan(apart);
    }
  });
  disposeModel(model);
});

test('samples do not depend on the batch, and take no solver', async () => {
  const model = movedModel(couplingCases, { ...small, classes: 2 });
  expectNoTensorsLeft();
  const shares: number[] = [];
  const onProgress = (share: number): number => shares.push(share);
  const label = [0, 1, 0];
  const all = await sample(model, { count: 3, label, seed: 5, onProgress });
  const single = await sample(model, { count: 3, label, seed: 5, batchSize: 1, onProgress });
  expect(all.shape).toEqual([3, 1, 4, 4]);
  expect(difference(all, single)).toBeLessThan(1e-5);
  expect(shares).toEqual([1, 1 / 3, 2 / 3, 1]);
  tf.dispose([all, single]);
  const refused = "'coupling' has no autoregressive blocks";
  await expect(sample(model, { count: 1, solver: { kind: 'jacobi' } })).rejects.toThrow(refused);
  await expect(sample(model, { count: 1, label: 0, guidance: { weight: 1 } })).rejects.toThrow(
    refused,
  );
});

test.each<[string, Partial<CouplingConfig>, string]>([
  ['no level', { levels: 0 }, 'levels is 0'],
  [
    'sides that cannot be halved so often',
    { image: { channels: 1, height: 28, width: 28 }, levels: 3 },
    'Sides of 28×28 cannot be halved 3 times (levels is 3). Choose at most 2 levels',
  ],
  [
    'a single channel',
    { image: { channels: 1, height: 1, width: 1 }, levels: 1 },
    'Level 0 has one channel',
  ],
])('a configuration that does not fit is refused: %s', (_, changes, message) => {
  expect(() => freshModel(coupling, { ...small, ...changes }, 0)).toThrow(message);
});
