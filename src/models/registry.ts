import { UserError } from '../backend/errors.js';
import { freshModel } from '../flow/flow.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import type { Experiment } from '../training/experiment.js';
import { classifier } from './classifier/family.js';
import { couplingExperiments } from './coupling/experiments.js';
import { coupling } from './coupling/index.js';
import { mafExperiments } from './maf/experiments.js';
import { maf } from './maf/index.js';
import { tarflow } from './tarflow/index.js';

/** A family, and what there is to train of it beside the experiments of the workbook. */
interface Entry {
  family: Family;
  experiments?: readonly Experiment[];
}

/** Every kind of model. This is the only switch on the kind. */
const entries: Record<string, Entry> = {
  tarflow: { family: tarflow },
  classifier: { family: classifier },
  maf: { family: maf, experiments: mafExperiments },
  coupling: { family: coupling, experiments: couplingExperiments },
};

/** The kinds of models, in the order of the registry. */
export const kinds: readonly string[] = Object.keys(entries);

/** The experiments of the families, in that order. */
export const familyExperiments: readonly Experiment[] = Object.values(entries).flatMap(
  ({ experiments = [] }) => experiments,
);

/**
 * The family of a kind.
 * @throws UserError that lists the kinds there are
 */
export function familyOf(kind: string): Family {
  const entry = Object.hasOwn(entries, kind) ? entries[kind] : undefined;
  if (entry) return entry.family;
  throw new UserError(`Unknown kind of model '${kind}'`, `Expected one of ${kinds.join(', ')}`);
}

/** A fresh model from a seed, of the kind that its configuration names. */
export function createModel(config: ModelConfig, seed: number): Model {
  return freshModel(familyOf(config.kind), config, seed);
}
