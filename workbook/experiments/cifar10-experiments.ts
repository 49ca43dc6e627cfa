import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { TrainingSettings } from '../../src/training/settings.js';

const config: TarFlowConfig = {
  kind: 'tarflow',
  image: { channels: 3, height: 32, width: 32 },
  patchSize: 2,
  channels: 64,
  blocks: 4,
  layersPerBlock: 2,
  headWidth: 32,
  classes: 0,
  volumePreserving: false,
};

const settings: TrainingSettings = {
  noise: { kind: 'uniform' },
  batchSize: 32,
  steps: 3060,
  peakLearningRate: 1.5e-3,
  warmupSteps: 200,
  dropLabel: 0,
  weightDecay: 1e-4,
  clipNorm: 1,
  averageDecay: 0,
  flip: true,
  precision: 'bfloat16',
  seed: 1,
  validateEvery: 500,
  validationImages: 5000,
  saveEvery: 500,
};

/**
 * Likelihood of natural images: CIFAR-10, uniform dequantisation noise, no labels, mirrored images.
 * Meant as a second twin of TarFlow's ImageNet 64×64 density model, 2-768-8-8; not trained yet. A step
 * of 64 images takes 2.5·10¹¹ floating-point operations: all are 3.3·10¹⁵, about four hours of two
 * cores that have bfloat16.
 */
export const cifar10Density: Experiment<TarFlowConfig> = {
  name: 'cifar10-density',
  description: 'Likelihood of CIFAR-10: unconditional, uniform dequantisation noise',
  dataset: 'cifar10',
  config: { ...config, channels: 96, layersPerBlock: 4 },
  settings: {
    ...settings,
    ...{ batchSize: 64, steps: 13_000, warmupSteps: 500, holdSteps: 9_000, averageDecay: 0.999 },
    ...{ validationImages: 2048, saveEvery: 250 },
  },
};

/**
 * A short training, which costs as much as `cifar10-likelihood-coupling` and `cifar10-likelihood-maf`:
 * 10¹⁴ operations.
 */
export const cifar10Likelihood: Experiment<TarFlowConfig> = {
  name: 'cifar10-likelihood',
  description: 'Likelihood of CIFAR-10, a short training, as couplings and MAF at the same cost',
  dataset: 'cifar10',
  config: { ...config, patchSize: 4 },
  settings: { ...settings, batchSize: 128, steps: 4104, peakLearningRate: 2e-3 },
};
