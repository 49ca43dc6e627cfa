import { UserError, unknownName } from '../core/errors.js';
import type { ModelConfig } from '../flow/model.js';
import type { TrainingSettings } from './settings.js';

/** One row of a paper's table, or its twin at workbook scale: everything that a run needs. */
export interface Experiment<C extends ModelConfig = ModelConfig> {
  name: string;
  /** What it shows, in a sentence. */
  description: string;
  /** As `openDataset` takes it: a name that `loadDataset` knows, or `latents:PATH` with a relative path. */
  dataset: string;
  config: C;
  settings: TrainingSettings;
}

const registered: Experiment[] = [];

/** Makes experiments known by name to the command line and to {@link findExperiment}, in this order. */
export function registerExperiments(experiments: readonly Experiment[]): void {
  for (const experiment of experiments) {
    const index = registered.findIndex(({ name }) => name === experiment.name);
    if (index < 0) registered.push(experiment);
    else registered[index] = experiment;
  }
}

/** All experiments that were registered. */
export function knownExperiments(): readonly Experiment[] {
  return registered;
}

/**
 * The registered experiment of a name.
 * @throws UserError that lists the names there are
 */
export function findExperiment(name: string): Experiment {
  const found = registered.find((experiment) => experiment.name === name);
  if (found) return found;
  const names = registered.map((experiment) => experiment.name);
  if (names.length > 0) throw unknownName('experiment', name, names);
  throw new UserError(
    `Unknown experiment '${name}'`,
    'Expected the path of a .json file: no experiment is registered',
  );
}
