import { expect, test } from 'vitest';
import { withOverrides } from '../../../src/models/experiments.js';
import type { Noise } from '../../../src/training/batches/index.js';
import { findExperiment, noiseExperiment } from '../../../workbook/experiments/index.js';

const gaussian: Noise = { kind: 'gaussian', sigma: 0.1 };

test.each(['fashion-mnist', 'emoji-base-32'])(
  'runs on %s differ in noise and seed alone',
  (name) => {
    const first = noiseExperiment(name, gaussian, 1);
    const second = noiseExperiment(name, { kind: 'uniform' }, 2);
    expect(second).toEqual({
      ...first,
      settings: { ...first.settings, noise: { kind: 'uniform' }, seed: 2 },
    });
    expect(first.settings).toMatchObject({ noise: gaussian, seed: 1 });
  },
);

test('the command line trains the same runs by --set', () => {
  const named = withOverrides(findExperiment('fashion-mnist-noise'), ['noise=uniform', 'seed=3']);
  expect(named).toEqual(noiseExperiment('fashion-mnist', { kind: 'uniform' }, 3));
});

test('another data set is refused, with the names there are', () => {
  expect(() => noiseExperiment('mnist-10k-subset', gaussian)).toThrow(
    /mnist-10k-subset.*fashion-mnist or emoji-base-32/,
  );
});
