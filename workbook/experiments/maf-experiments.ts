import type { MafConfig } from '../../src/models/maf/config.js';
import type { Experiment } from '../../src/training/experiment.js';

/**
 * Likelihood on Fashion-MNIST by masked autoregressive networks: ten blocks would be the paper's
 * largest (section 4.3); five of wider layers take an hour.
 */
const fashionMnistMaf: Experiment<MafConfig> = {
  name: 'fashion-mnist-maf',
  description: 'Likelihood of Fashion-MNIST by a masked autoregressive flow',
  dataset: 'fashion-mnist',
  config: {
    kind: 'maf',
    image: { channels: 1, height: 28, width: 28 },
    classes: 0,
    blocks: 5,
    hiddenLayers: 1,
    hiddenUnits: 1024,
    background: 0,
  },
  settings: {
    noise: { kind: 'uniform' },
    batchSize: 128,
    steps: 20_000,
    peakLearningRate: 1e-3,
    warmupSteps: 300,
    dropLabel: 0,
    weightDecay: 1e-4,
    // With less, unusual images get a likelihood that explodes.
    beta2: 0.999,
    clipNorm: 1,
    averageDecay: 0,
    flip: false,
    precision: 'float32',
    seed: 1,
    validateEvery: 500,
    validationImages: 1024,
    saveEvery: 500,
  },
};

/** A short training, which costs as much as `design-likelihood` and `design-likelihood-coupling`. */
const designLikelihoodMaf: Experiment<MafConfig> = {
  ...fashionMnistMaf,
  name: 'design-likelihood-maf',
  description: 'Likelihood of Fashion-MNIST, a short training: a masked autoregressive flow',
  settings: { ...fashionMnistMaf.settings, steps: 7300, validationImages: 5000 },
};

const { background: _, ...withoutBackground } = fashionMnistMaf.config;

/** A short training, which costs as much as `cifar10-likelihood` and `cifar10-likelihood-coupling`. */
const cifar10LikelihoodMaf: Experiment<MafConfig> = {
  name: 'cifar10-likelihood-maf',
  description: 'Likelihood of CIFAR-10, a short training: a masked autoregressive flow',
  dataset: 'cifar10',
  config: {
    ...withoutBackground,
    image: { channels: 3, height: 32, width: 32 },
    hiddenUnits: 512,
  },
  settings: { ...designLikelihoodMaf.settings, steps: 5520, flip: true, precision: 'bfloat16' },
};

/** What there is to train of this family. */
export const mafExperiments: readonly Experiment[] = [
  fashionMnistMaf,
  designLikelihoodMaf,
  cifar10LikelihoodMaf,
];
