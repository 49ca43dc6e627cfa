import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { TrainingSettings } from '../../src/training/settings.js';

const config: TarFlowConfig = {
  kind: 'tarflow',
  image: { channels: 1, height: 28, width: 28 },
  patchSize: 4,
  channels: 128,
  blocks: 4,
  layersPerBlock: 4,
  headWidth: 64,
  classes: 0,
  volumePreserving: false,
};

const settings: TrainingSettings = {
  noise: { kind: 'uniform' },
  batchSize: 64,
  steps: 6300,
  peakLearningRate: 1e-3,
  warmupSteps: 300,
  dropLabel: 0,
  weightDecay: 1e-4,
  clipNorm: 1,
  averageDecay: 0,
  flip: false,
  precision: 'float32',
  seed: 1,
  validateEvery: 300,
  validationImages: 1024,
  saveEvery: 300,
};

/**
 * Likelihood on Fashion-MNIST: uniform dequantisation noise, no labels. The workbook's twin of
 * TarFlow's ImageNet 64×64 density model, 2-768-8-8, with that model's patches of 2×2. Half of all
 * pixels are black here, and so that background is spread first, which is ours; with
 * `--set background=none` it is the paper's. A step takes 7.5·10¹⁰ floating-point operations: all are
 * 1.2·10¹⁵, 2.2 hours of two cores that have bfloat16.
 */
export const fashionMnistDensity: Experiment<TarFlowConfig> = {
  name: 'fashion-mnist-density',
  description: 'Likelihood of Fashion-MNIST: unconditional, uniform dequantisation noise',
  dataset: 'fashion-mnist',
  config: {
    ...config,
    patchSize: 2,
    layersPerBlock: 2,
    background: 0,
  },
  settings: {
    ...settings,
    ...{ batchSize: 32, steps: 16_000, peakLearningRate: 1.5e-3, warmupSteps: 500 },
    ...{ holdSteps: 11_500, averageDecay: 0.9995, precision: 'bfloat16' },
    ...{ validateEvery: 1000, validationImages: 5000, saveEvery: 500 },
  },
};

/**
 * Samples of Fashion-MNIST in a short training: Gaussian noise of 0.1, class labels, one in ten
 * dropped.
 */
export const fashionMnistConditional: Experiment<TarFlowConfig> = {
  name: 'fashion-mnist-conditional',
  description:
    'Samples of Fashion-MNIST, a short training: class-conditional, Gaussian noise of 0.1',
  dataset: 'fashion-mnist',
  config: { ...config, classes: 10 },
  settings: {
    ...settings,
    noise: { kind: 'gaussian', sigma: 0.1 },
    dropLabel: 0.1,
    steps: 4500,
  },
};

/**
 * The same with as many layers in twice as many blocks, trained much longer. The workbook's twin of
 * TarFlow's class-conditional ImageNet models. A step of 128 images takes 1.3·10¹¹ floating-point
 * operations: all are 3.3·10¹⁵.
 */
export const fashionMnistConditional8x2: Experiment<TarFlowConfig> = {
  name: 'fashion-mnist-conditional-8x2',
  description: 'Samples of Fashion-MNIST, 60 epochs: class-conditional, Gaussian noise of 0.1',
  dataset: 'fashion-mnist',
  config: { ...config, blocks: 8, layersPerBlock: 2, classes: 10 },
  settings: {
    ...fashionMnistConditional.settings,
    batchSize: 128,
    steps: 26_000,
    warmupSteps: 500,
    holdSteps: 18_500,
    averageDecay: 0.9995,
    precision: 'bfloat16',
    validateEvery: 1000,
    validationImages: 5000,
    saveEvery: 500,
  },
};
