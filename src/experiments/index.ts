import { UserError } from '../backend/errors.js';
import { familyExperiments } from '../models/registry.js';
import type { Experiment } from '../training/experiment.js';
import { cifar10Density, cifar10Likelihood } from './cifar10-experiments.js';
import { designCoupling, designExperiments } from './design-experiments.js';
import { emoji256, emoji1024, emojiConditional } from './emoji-experiments.js';
import {
  fashionMnistConditional,
  fashionMnistConditional8x2,
  fashionMnistDensity,
} from './fashion-mnist-experiments.js';
import { mnistDemonstration } from './mnist-experiments.js';
import { noiseExperiment } from './noise-experiments.js';

export type { Experiment } from '../training/experiment.js';
export { readExperiment } from './experiment-file.js';
export { noiseExperiment } from './noise-experiments.js';
export { optionTexts, withOverrides } from './overrides.js';

/**
 * All experiments, those of the workbook first and in its order.
 *
 * @example
 * ```ts
 * import { experiments } from 'tarflow';
 *
 * for (const { name, description } of experiments) console.log(name, '-', description);
 * ```
 */
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
  ...familyExperiments,
];

/**
 * The experiment of a name.
 * @throws UserError that lists the names there are
 *
 * @example
 * ```ts
 * import { findExperiment } from 'tarflow';
 *
 * const { dataset, config, settings } = findExperiment('fashion-mnist-density');
 * console.log(dataset, config.kind, settings.steps);
 * ```
 */
export function findExperiment(name: string): Experiment {
  const found = experiments.find((experiment) => experiment.name === name);
  if (found) return found;
  throw new UserError(
    `Unknown experiment '${name}'`,
    `Expected one of ${experiments.map((experiment) => experiment.name).join(', ')}`,
  );
}
