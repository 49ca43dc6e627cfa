import type { CouplingConfig } from '../../src/models/coupling/config.js';
import type { Experiment } from '../../src/training/experiment.js';

/** Likelihood on Fashion-MNIST by couplings and invertible convolutions at two scales. */
const fashionMnistCoupling: Experiment<CouplingConfig> = {
  name: 'fashion-mnist-coupling',
  description: 'Likelihood of Fashion-MNIST by a flow of affine couplings',
  dataset: 'fashion-mnist',
  config: {
    kind: 'coupling',
    image: { channels: 1, height: 28, width: 28 },
    classes: 0,
    levels: 2,
    stepsPerLevel: 6,
    hiddenChannels: 48,
    background: 0,
  },
  settings: {
    noise: { kind: 'uniform' },
    batchSize: 32,
    steps: 20_000,
    peakLearningRate: 1e-3,
    warmupSteps: 300,
    dropLabel: 0,
    weightDecay: 1e-4,
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

/** A short training, which costs as much as `design-likelihood` and `design-likelihood-maf`. */
const designLikelihoodCoupling: Experiment<CouplingConfig> = {
  ...fashionMnistCoupling,
  name: 'design-likelihood-coupling',
  description: 'Likelihood of Fashion-MNIST, a short training: affine couplings at two scales',
  settings: { ...fashionMnistCoupling.settings, steps: 8850, validationImages: 5000 },
};

const { background: _, ...withoutBackground } = fashionMnistCoupling.config;

/** A short training, which costs as much as `cifar10-likelihood` and `cifar10-likelihood-maf`. */
const cifar10LikelihoodCoupling: Experiment<CouplingConfig> = {
  name: 'cifar10-likelihood-coupling',
  description: 'Likelihood of CIFAR-10, a short training: affine couplings at two scales',
  dataset: 'cifar10',
  config: {
    ...withoutBackground,
    image: { channels: 3, height: 32, width: 32 },
  },
  settings: {
    ...designLikelihoodCoupling.settings,
    steps: 7953,
    flip: true,
    precision: 'bfloat16',
  },
};

/** What there is to train of this family. */
export const couplingExperiments: readonly Experiment[] = [
  fashionMnistCoupling,
  designLikelihoodCoupling,
  cifar10LikelihoodCoupling,
];
