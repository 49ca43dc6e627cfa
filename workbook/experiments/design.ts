import type { CouplingConfig } from '../../src/models/coupling/config.js';
import type { StarFlowConfig } from '../../src/models/starflow/config.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { TrainingSettings } from '../../src/training/settings.js';
import { clothes, publishedDesign, settingsOf, smallTarFlow } from './experiment.js';

const settings = settingsOf({
  noise: { kind: 'gaussian', sigma: 0.1 },
  batchSize: 128,
  steps: 3000,
  peakLearningRate: 2e-3,
  warmupSteps: 200,
  dropLabel: 0.1,
  precision: 'bfloat16',
  validateEvery: 300,
});

/** A small class-conditional flow that differs from the others in what it is about. */
export function variant(
  name: string,
  about: string,
  change: Partial<TarFlowConfig> = {},
  otherSettings: Partial<TrainingSettings> = {},
): Experiment<TarFlowConfig> {
  return {
    name: `design-${name}`,
    description: `What a design is worth on Fashion-MNIST: ${about}`,
    dataset: 'fashion-mnist',
    config: smallTarFlow(change),
    settings: { ...settings, ...otherSettings },
  };
}

/** Products in float32, so that no difference of likelihood can come of rounded factors. */
const exact = { precision: 'float32' } as const;

/** The twin of couplings in place of autoregression, at about the training cost of the base. */
const coupling: Experiment<CouplingConfig> = {
  name: 'design-coupling',
  description: 'What a design is worth on Fashion-MNIST: couplings of channels, two scales',
  dataset: 'fashion-mnist',
  config: {
    kind: 'coupling',
    image: clothes,
    classes: 10,
    levels: 2,
    stepsPerLevel: 6,
    hiddenChannels: 36,
  },
  settings: { ...settings, ...exact, peakLearningRate: 1e-3 },
};

/** Flows of one cost and of as many parameters, which share their layers out among four blocks. */
function shared(name: string, about: string, layersPerBlock: number[]): Experiment<StarFlowConfig> {
  return {
    name: `design-${name}`,
    description: `Deep and shallow blocks on Fashion-MNIST: ${about}`,
    dataset: 'fashion-mnist',
    config: {
      ...publishedDesign,
      image: clothes,
      classes: 10,
      patchSize: 4,
      channels: 64,
      layersPerBlock,
      headWidth: 32,
      gridSide: 7,
    },
    settings: { ...settings, warmupSteps: 100, holdSteps: 0, validateEvery: 150 },
  };
}

/**
 * Small flows that differ in one thing each, trained alike: twins of TarFlow's ablations (section
 * 4.4), at equal numbers of layers where that is not what they are about, and of STARFlow's deep and
 * shallow blocks.
 */
export const design: readonly Experiment[] = [
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
    { ...exact, noise: { kind: 'uniform' } },
  ),
  coupling,
  shared('deep-near-noise', 'five layers nearest the noise, one in each other block', [1, 1, 1, 5]),
  shared('deep-near-data', 'five layers nearest the data, one in each other block', [5, 1, 1, 1]),
  shared('even', 'two layers in each block', [2, 2, 2, 2]),
];
