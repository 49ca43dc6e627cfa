import { expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.js';
import { checkSettings } from '../../src/training/settings.js';
import { smallSettings } from './small.js';

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

const { seed: _, ...seedless } = smallSettings;
const cases: [string, object, string][] = [
  [
    '0 steps',
    { ...smallSettings, steps: 0 },
    'The training setting steps is 0. Expected a number above 0.',
  ],
  [
    'no steps left to fall',
    { ...smallSettings, warmupSteps: 2, holdSteps: smallSettings.steps },
    'Lower holdSteps or raise steps',
  ],
  [
    'no number',
    { ...smallSettings, steps: 'ten' },
    "steps is 'ten'. Expected a whole number above 0.",
  ],
  [
    'not a number',
    { ...smallSettings, clipNorm: Number.NaN },
    'clipNorm is NaN. Expected a number of at least 0.',
  ],
  [
    'infinity',
    { ...smallSettings, weightDecay: Infinity },
    'weightDecay is Infinity. Expected a number of at least 0.',
  ],
  [
    'a share of 1',
    { ...smallSettings, dropLabel: 1 },
    'dropLabel is 1. Expected a number from 0 to below 1.',
  ],
  [
    'a precision',
    { ...smallSettings, precision: 'float64' },
    "precision is 'float64'. Expected float32 or bfloat16.",
  ],
  [
    'an unknown noise',
    { ...smallSettings, noise: { kind: 'pink' } },
    "noise.kind is 'pink'. Expected gaussian, uniform or none.",
  ],
  [
    'a negative sigma',
    { ...smallSettings, noise: { kind: 'gaussian', sigma: -1 } },
    'noise.sigma is -1. Expected a number above 0.',
  ],
  ['a missing value', seedless, 'seed is undefined. Expected a whole number.'],
  [
    'an unknown setting',
    { ...smallSettings, batchsize: 3 },
    "There is no training setting 'batchsize'. Did you mean batchSize?",
  ],
  [
    'one inside another',
    { ...smallSettings, noise: { kind: 'uniform', sigma: 1 } },
    "There is no training setting 'noise.sigma'. Leave it out.",
  ],
];

test.each(cases)('%s is refused', (_, settings, message) => {
  expect(() => checkSettings(settings)).toThrow(UserError);
  expect(() => checkSettings(settings)).toThrow(message);
});
