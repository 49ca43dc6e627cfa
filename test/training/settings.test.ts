import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.js';
import { familyOf } from '../../src/models/registry.js';
import { checkConfig } from '../../src/models/tarflow/config.js';
import { tarflow } from '../../src/models/tarflow/index.js';
import { modelSpec } from '../../src/training/model-spec.js';
import { learningRate } from '../../src/training/optimiser/schedule.js';
import { fastestMode, usualMode } from '../../src/training/program.js';
import { checkSettings, usualSettings } from '../../src/training/settings.js';
import { secondsPerStep } from '../../src/training/step-time.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { smallStarFlow } from '../models/starflow/cases.js';
import { smallConfig, smallSettings } from './small.js';

test('settings that fit come back as they are', () => {
  for (const noise of [
    { kind: 'uniform' },
    { kind: 'none' },
    { kind: 'gaussian', sigma: 0.1 },
  ] as const) {
    const settings = { ...smallSettings, noise };
    expect(JSON.stringify(checkSettings(settings))).toBe(JSON.stringify(settings));
  }
});

test('what is left out is as usual', () => {
  expect(checkSettings({ steps: 10 })).toEqual({ ...usualSettings, steps: 10 });
  expect(checkSettings()).toEqual(usualSettings);
});

test.each<[object, string]>([
  [{ steps: 0 }, 'The training setting steps is 0. Expected a number above 0.'],
  [{ steps: 1.5 }, 'steps is 1.5. Expected a whole number above 0.'],
  [{ steps: 'ten' }, "steps is 'ten'. Expected a whole number above 0."],
  [{ batchSize: 0 }, 'batchSize is 0'],
  [{ warmupSteps: -1 }, 'warmupSteps is -1'],
  [{ holdSteps: -1 }, 'holdSteps is -1'],
  [{ warmupSteps: 2, holdSteps: smallSettings.steps }, 'Lower holdSteps or raise steps'],
  [{ peakLearningRate: Number.NaN }, 'peakLearningRate is NaN'],
  [{ clipNorm: Number.NaN }, 'clipNorm is NaN. Expected a number of at least 0.'],
  [{ clipNorm: -1 }, 'clipNorm is -1'],
  [{ averageDecay: 1 }, 'averageDecay is 1'],
  [{ weightDecay: Infinity }, 'weightDecay is Infinity. Expected a number of at least 0.'],
  [{ beta1: 1 }, 'beta1 is 1'],
  [{ beta2: 1 }, 'beta2 is 1'],
  [{ dropLabel: 1 }, 'dropLabel is 1. Expected a number from 0 to below 1.'],
  [{ seed: 0.5 }, 'seed is 0.5'],
  [{ precision: 'float64' }, "precision is 'float64'. Expected float32 or bfloat16."],
  [{ noise: { kind: 'pink' } }, "noise.kind is 'pink'. Expected gaussian, uniform or none."],
  [{ noise: { kind: 'gaussian', sigma: -1 } }, 'noise.sigma is -1. Expected a number above 0.'],
  [{ batchsize: 3 }, "There is no training setting 'batchsize'. Did you mean batchSize?"],
  [{ noise: { kind: 'uniform', sigma: 1 } }, "no training setting 'noise.sigma'. Leave it out."],
])('%j is refused', (changes, message) => {
  const settings = { ...smallSettings, ...changes };
  expect(() => checkSettings(settings)).toThrow(UserError);
  expect(() => checkSettings(settings)).toThrow(message);
});

test('XLA is for small products, and in bfloat16 for smaller ones', () => {
  const modes = (precision: 'float32' | 'bfloat16', channels = 128) => {
    const config = checkConfig({
      kind: 'tarflow',
      image: { channels: 3, height: 32, width: 32 },
      patchSize: 4,
      channels,
      blocks: 2,
      layersPerBlock: 2,
      headWidth: 64,
      classes: 0,
      volumePreserving: false,
    });
    return [8, 16, 32, 64, 128].map((batchSize) =>
      fastestMode({ family: tarflow, config }, { batchSize, precision }),
    );
  };
  expect(modes('float32')).toEqual(['xla', 'xla', 'xla', 'xla', 'graph']);
  expect(modes('bfloat16')).toEqual(['xla', 'xla', 'graph', 'graph', 'graph']);
  expect(modes('float32', 256)).toEqual(['xla', 'xla', 'graph', 'graph', 'graph']);
  // A short run is not worth compiling.
  const spec = modelSpec(tarflow, smallConfig);
  const usual = [1999, 2000].map((steps) => usualMode(spec, { ...smallSettings, steps }));
  expect(usual).toEqual(['graph', 'xla']);
});

describe('the published schedule: linear warm-up from 1e-6, then a cosine back to it', () => {
  const schedule = { peak: 1e-4, warmup: 10, steps: 110 };

  test.each([
    [0, 1e-6],
    [1, 1.09e-5],
    [5, 5.05e-5],
    [10, 1e-4],
    [35, 1e-6 + 0.5 * (1 + Math.SQRT1_2) * 9.9e-5],
    [60, 5.05e-5],
    [85, 1e-6 + 0.5 * (1 - Math.SQRT1_2) * 9.9e-5],
    [110, 1e-6],
    [200, 1e-6],
  ])('step %i', (k, expected) => {
    expect(learningRate(schedule, k)).toBeCloseTo(expected, 15);
  });

  test('holds its peak between the two for as long as asked', () => {
    const held = { ...schedule, hold: 40 };
    expect([9, 10, 30, 50].map((k) => learningRate(held, k) / 1e-4)).toEqual([
      expect.closeTo(0.901, 10),
      ...[1, 1, 1],
    ]);
    expect(learningRate(held, 80)).toBeCloseTo(5.05e-5, 15);
    expect(learningRate(held, 110)).toBeCloseTo(1e-6, 15);
  });

  test('without warm-up it begins at the peak, and another floor is kept', () => {
    expect(learningRate({ peak: 2e-3, warmup: 0, steps: 5 }, 0)).toBe(2e-3);
    expect(learningRate({ peak: 2e-3, warmup: 4, steps: 5, floor: 1e-4 }, 0)).toBe(1e-4);
    expect(learningRate({ peak: 2e-3, warmup: 4, steps: 4 }, 4)).toBe(2e-3);
  });
});

const text = { entries: 4, width: 8 };

test.each([
  ['a flow', smallConfig, {}],
  [
    'a flow that reads captions, with means and a limit',
    { ...smallStarFlow, text, channels: 40, headWidth: 20 },
    { averageDecay: 0.9, clipNorm: 1 },
  ],
])('a training step of %s is timed, and nothing is left', async (_name, config, changes) => {
  expectNoTensorsLeft();
  const settings = checkSettings({ ...smallSettings, ...changes });
  const family = familyOf(config.kind);
  expect(await secondsPerStep({ family, config, settings, mode: 'graph' })).toBeGreaterThan(0);
});
