import type { CouplingConfig } from '../../src/models/coupling/config.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { TrainingSettings } from '../../src/training/settings.js';

const config: TarFlowConfig = {
  kind: 'tarflow',
  image: { channels: 1, height: 28, width: 28 },
  patchSize: 4,
  channels: 64,
  blocks: 4,
  layersPerBlock: 2,
  headWidth: 32,
  classes: 10,
  volumePreserving: false,
};

const settings: TrainingSettings = {
  noise: { kind: 'gaussian', sigma: 0.1 },
  batchSize: 128,
  steps: 3000,
  peakLearningRate: 2e-3,
  warmupSteps: 200,
  dropLabel: 0.1,
  weightDecay: 1e-4,
  clipNorm: 1,
  averageDecay: 0,
  flip: false,
  precision: 'bfloat16',
  seed: 1,
  validateEvery: 300,
  validationImages: 5000,
  saveEvery: 300,
};

/** A small class-conditional flow that differs from the others in what it is about. */
function variant(
  name: string,
  about: string,
  change: Partial<TarFlowConfig> = {},
  otherSettings: Partial<TrainingSettings> = {},
): Experiment<TarFlowConfig> {
  return {
    name: `design-${name}`,
    description: `What a design is worth on Fashion-MNIST: ${about}`,
    dataset: 'fashion-mnist',
    config: { ...config, ...change },
    settings: { ...settings, ...otherSettings },
  };
}

/** Products in float32, so that no difference of likelihood can come of rounded factors. */
const exact = { precision: 'float32' } as const;

/** What changes where it is likelihood that counts. */
const withoutLabels = { classes: 0, background: 0 } as const;
const ofLikelihood = {
  ...exact,
  noise: { kind: 'uniform' },
  dropLabel: 0,
  saveEvery: 600,
} as const;

/**
 * Small flows that differ in one thing each, trained alike: twins of TarFlow's ablations (section
 * 4.4), at equal numbers of layers where that is not what they are about.
 */
export const designExperiments: readonly Experiment<TarFlowConfig>[] = [
  variant('base', 'four blocks of two layers, scale and shift, alternating'),
  variant('same-direction', 'every block reads from left to right', { directions: 'same' }),
  variant('one-block', 'a single block of eight layers', { blocks: 1, layersPerBlock: 8 }),
  variant('volume-preserving', 'shift only', { volumePreserving: true }),
  variant('2-blocks', 'two blocks of four layers', { blocks: 2, layersPerBlock: 4 }),
  variant('8-blocks', 'eight blocks of one layer', { blocks: 8, layersPerBlock: 1 }),
  variant('half', 'four blocks of one layer', { layersPerBlock: 1 }),
  variant('double-depth', 'four blocks of four layers', { layersPerBlock: 4 }),
  variant('double-blocks', 'eight blocks of two layers', { blocks: 8 }),
  variant('wide', 'four blocks of two layers, twice as wide', { channels: 128 }),
  variant('patch-2', 'patches of 2×2, 196 tokens', { patchSize: 2 }),
  variant('patch-7', 'patches of 7×7, 16 tokens', { patchSize: 7 }),
  variant('gaussian', 'Gaussian noise of 0.1, in float32', {}, exact),
  variant(
    'uniform',
    'uniform noise of one grey level, in float32',
    {},
    {
      ...exact,
      noise: { kind: 'uniform' },
    },
  ),
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
];

/** The twin of couplings in place of autoregression, at about the training cost of the base. */
export const designCoupling: Experiment<CouplingConfig> = {
  name: 'design-coupling',
  description: 'What a design is worth on Fashion-MNIST: couplings of channels, two scales',
  dataset: 'fashion-mnist',
  config: {
    kind: 'coupling',
    image: { channels: 1, height: 28, width: 28 },
    classes: 10,
    levels: 2,
    stepsPerLevel: 6,
    hiddenChannels: 36,
  },
  settings: { ...settings, ...exact, peakLearningRate: 1e-3, clipNorm: 1 },
};
