import { UserError } from '../backend/errors.js';
import { checkNoise, type Noise } from './batches/index.js';

/** How a flow is trained. The defaults are the papers' (TarFlow, section 4.1). */
export interface TrainingSettings {
  noise: Noise;
  batchSize: number;
  /** Steps in all; the learning rate's cosine ends there. */
  steps: number;
  peakLearningRate: number;
  /** Steps of linear warm-up; the papers take one epoch. */
  warmupSteps: number;
  /** Probability that a label is dropped, so that the model also learns to do without. */
  dropLabel: number;
  weightDecay: number;
  /** Largest norm of the gradient, a longer one is scaled down; 0 for no limit, as the papers. */
  clipNorm: number;
  /**
   * Decay per step of a running mean of the parameters, which then is what validation measures and
   * the checkpoint holds; 0 for none, as the papers.
   */
  averageDecay: number;
  /** True to mirror every other training image, left to right, at random. */
  flip: boolean;
  /** `bfloat16` computes matrix products from rounded factors: faster, for samples only. */
  precision: 'float32' | 'bfloat16';
  seed: number;
  /** Steps between validations. */
  validateEvery: number;
  /** Images of the test split that a validation uses, the first ones. */
  validationImages: number;
  /** Steps between saved states, from which a run can resume. */
  saveEvery: number;
}

/**
 * Checks settings.
 * @throws UserError that names the setting, its value and what was expected
 */
export function checkSettings(settings: TrainingSettings): TrainingSettings {
  checkNoise(settings.noise);
  const counts = ['batchSize', 'steps', 'validateEvery', 'validationImages', 'saveEvery'] as const;
  for (const name of counts) {
    expect(name, settings[name], Number.isInteger(settings[name]) && settings[name] > 0, 'above 0');
  }
  if (!['float32', 'bfloat16'].includes(settings.precision)) {
    throw new UserError(`precision is '${settings.precision}'`, 'Expected float32 or bfloat16');
  }
  const { warmupSteps, dropLabel, peakLearningRate, weightDecay, clipNorm, averageDecay, seed } =
    settings;
  expect(
    'warmupSteps',
    warmupSteps,
    Number.isInteger(warmupSteps) && warmupSteps >= 0,
    'of at least 0',
  );
  expect('dropLabel', dropLabel, dropLabel >= 0 && dropLabel < 1, 'from 0 to below 1');
  expect('peakLearningRate', peakLearningRate, peakLearningRate > 0, 'above 0');
  expect('clipNorm', clipNorm, clipNorm >= 0, 'of at least 0');
  expect('averageDecay', averageDecay, averageDecay >= 0 && averageDecay < 1, 'from 0 to below 1');
  expect('weightDecay', weightDecay, weightDecay >= 0, 'of at least 0');
  expect('seed', seed, Number.isSafeInteger(seed), 'that is whole');
  return settings;
}

function expect(name: string, value: number, fits: boolean, expected: string): void {
  if (fits && Number.isFinite(value)) return;
  throw new UserError(`The training setting ${name} is ${value}`, `Expected a number ${expected}`);
}
