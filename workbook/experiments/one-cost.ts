import type { CouplingConfig } from '../../src/models/coupling/config.js';
import type { MafConfig } from '../../src/models/maf/index.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import { variant } from './design.js';
import { clothes, settingsOf, smallTarFlow } from './experiment.js';

const photographs = { channels: 3, height: 32, width: 32 };

/** Likelihood on Fashion-MNIST by couplings and invertible convolutions at two scales. */
const coupling: Experiment<CouplingConfig> = {
  name: 'fashion-mnist-coupling',
  description: 'Likelihood of Fashion-MNIST by a flow of affine couplings',
  dataset: 'fashion-mnist',
  config: {
    kind: 'coupling',
    image: clothes,
    classes: 0,
    levels: 2,
    stepsPerLevel: 6,
    hiddenChannels: 48,
    background: 0,
  },
  settings: settingsOf({
    noise: { kind: 'uniform' },
    batchSize: 32,
    steps: 20_000,
    peakLearningRate: 1e-3,
    warmupSteps: 300,
    validateEvery: 500,
    validationImages: 1024,
  }),
};

/**
 * Likelihood on Fashion-MNIST by masked autoregressive networks: ten blocks would be the paper's
 * largest (section 4.3); five of wider layers take an hour.
 */
const maf: Experiment<MafConfig> = {
  name: 'fashion-mnist-maf',
  description: 'Likelihood of Fashion-MNIST by a masked autoregressive flow',
  dataset: 'fashion-mnist',
  config: {
    kind: 'maf',
    image: clothes,
    classes: 0,
    blocks: 5,
    hiddenLayers: 1,
    hiddenUnits: 1024,
    background: 0,
  },
  // With a smaller beta2, unusual images get a likelihood that explodes.
  settings: { ...coupling.settings, batchSize: 128, beta2: 0.999 },
};

const withoutLabels = { classes: 0, background: 0 } as const;
const ofLikelihood = {
  precision: 'float32',
  noise: { kind: 'uniform' },
  dropLabel: 0,
  saveEvery: 600,
} as const;

/** Three kinds of flows on Fashion-MNIST, in short trainings of one cost. */
const ofClothes: readonly Experiment[] = [
  variant(
    'likelihood',
    'likelihood without labels, as MAF and couplings at the same cost',
    withoutLabels,
    { ...ofLikelihood, steps: 3930 },
  ),
  variant(
    'likelihood-patch-2',
    'likelihood without labels, patches of 2×2, at the same cost',
    { ...withoutLabels, patchSize: 2 },
    { ...ofLikelihood, batchSize: 32, steps: 3000, peakLearningRate: 1.5e-3 },
  ),
  {
    ...coupling,
    name: 'design-likelihood-coupling',
    description: 'Likelihood of Fashion-MNIST, a short training: affine couplings at two scales',
    settings: { ...coupling.settings, steps: 8850, validationImages: 5000 },
  },
  {
    ...maf,
    name: 'design-likelihood-maf',
    description: 'Likelihood of Fashion-MNIST, a short training: a masked autoregressive flow',
    settings: { ...maf.settings, steps: 7300, validationImages: 5000 },
  },
];

const ofPhotographs = { flip: true, precision: 'bfloat16', validationImages: 5000 } as const;

const tarflowOfPhotographs: Experiment<TarFlowConfig> = {
  name: 'cifar10-likelihood',
  description: 'Likelihood of CIFAR-10, a short training, as couplings and MAF at the same cost',
  dataset: 'cifar10',
  config: smallTarFlow({ image: photographs, classes: 0 }),
  settings: settingsOf({
    ...ofPhotographs,
    noise: { kind: 'uniform' },
    batchSize: 128,
    steps: 4104,
    peakLearningRate: 2e-3,
    warmupSteps: 200,
    validateEvery: 500,
  }),
};

const couplingOfPhotographs: Experiment<CouplingConfig> = {
  name: 'cifar10-likelihood-coupling',
  description: 'Likelihood of CIFAR-10, a short training: affine couplings at two scales',
  dataset: 'cifar10',
  config: {
    kind: 'coupling',
    image: photographs,
    classes: 0,
    levels: 2,
    stepsPerLevel: 6,
    hiddenChannels: 48,
  },
  settings: { ...coupling.settings, ...ofPhotographs, steps: 7953 },
};

const mafOfPhotographs: Experiment<MafConfig> = {
  name: 'cifar10-likelihood-maf',
  description: 'Likelihood of CIFAR-10, a short training: a masked autoregressive flow',
  dataset: 'cifar10',
  config: {
    kind: 'maf',
    image: photographs,
    classes: 0,
    blocks: 5,
    hiddenLayers: 1,
    hiddenUnits: 512,
  },
  settings: { ...maf.settings, ...ofPhotographs, steps: 5520 },
};

/** Kinds of flows at one cost of training, 10¹⁴ operations on photographs, and longer trainings. */
export const oneCost: readonly Experiment[] = [
  maf,
  coupling,
  ...ofClothes,
  tarflowOfPhotographs,
  couplingOfPhotographs,
  mafOfPhotographs,
];
