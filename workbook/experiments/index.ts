import type { Experiment } from '../../src/training/experiment.js';
import { findExperiment as find, registerExperiments } from '../../src/training/experiment.js';
import { cifar10Density, cifar10Likelihood } from './cifar10-experiments.js';
import { classifierExperiments } from './classifier-experiments.js';
import { couplingExperiments } from './coupling-experiments.js';
import { designCoupling, designExperiments } from './design-experiments.js';
import { emoji256, emoji1024, emojiConditional } from './emoji-experiments.js';
import {
  fashionMnistConditional,
  fashionMnistConditional8x2,
  fashionMnistDensity,
} from './fashion-mnist-experiments.js';
import { mafExperiments } from './maf-experiments.js';
import { mnistDemonstration } from './mnist-experiments.js';
import { noiseExperiment } from './noise-experiments.js';
import { starflowExperiments } from './starflow-experiments.js';
import { vaeExperiments } from './vae-experiments.js';

export { noiseExperiment } from './noise-experiments.js';

/** The experiments of the workbook, in its order. */
export const experiments: readonly Experiment[] = [
  fashionMnistDensity,
  fashionMnistConditional,
  fashionMnistConditional8x2,
  mnistDemonstration,
  noiseExperiment('fashion-mnist', { kind: 'gaussian', sigma: 0.1 }),
  noiseExperiment('emoji-base-32', { kind: 'gaussian', sigma: 0.1 }),
  emoji256,
  emoji1024,
  emojiConditional,
  ...designExperiments,
  designCoupling,
  cifar10Density,
  cifar10Likelihood,
  ...classifierExperiments,
  ...mafExperiments,
  ...couplingExperiments,
  ...starflowExperiments,
  ...vaeExperiments,
];

registerExperiments(experiments);

/**
 * The experiment of a name, one of the workbook's or one that was registered.
 * @throws UserError that lists the names there are
 */
export const findExperiment: (name: string) => Experiment = find;
