import { UserError } from '../backend/errors.js';
import { checkedValue } from '../backend/schema.js';
import { freshModel } from '../flow/flow.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import type { Experiment } from '../training/experiment.js';
import { classifierExperiments } from './classifier/experiments.js';
import { classifier } from './classifier/family.js';
import { couplingExperiments } from './coupling/experiments.js';
import { coupling } from './coupling/index.js';
import { mafExperiments } from './maf/experiments.js';
import { maf } from './maf/index.js';
import { starflowExperiments } from './starflow/experiments.js';
import { starflow } from './starflow/index.js';
import { tarflow } from './tarflow/index.js';
import { vaeExperiments } from './vae/experiments.js';
import { vae } from './vae/index.js';

/** A family, and what there is to train of it beside the experiments of the workbook. */
interface Entry {
  family: Family;
  experiments?: readonly Experiment[];
}

/** Every kind of model. This is the only switch on the kind. */
const entries: Record<string, Entry> = {
  tarflow: { family: tarflow },
  classifier: { family: classifier, experiments: classifierExperiments },
  maf: { family: maf, experiments: mafExperiments },
  coupling: { family: coupling, experiments: couplingExperiments },
  starflow: { family: starflow, experiments: starflowExperiments },
  vae: { family: vae, experiments: vaeExperiments },
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
 *
 * @example
 * ```ts
 * import { familyOf, findExperiment } from 'tarflow';
 *
 * const { config } = findExperiment('fashion-mnist-noise');
 * console.log(familyOf(config.kind).title(config)); // 4-40-4-2
 * ```
 */
export function familyOf(kind: string): Family {
  const entry = Object.hasOwn(entries, kind) ? entries[kind] : undefined;
  if (entry) return entry.family;
  throw new UserError(`Unknown kind of model '${kind}'`, `Expected one of ${kinds.join(', ')}`);
}

/**
 * A fresh model from a seed, of the kind that its configuration names. The caller frees it with
 * `disposeModel`.
 *
 * @param config with the fields of its kind
 * @throws UserError for an unknown kind, or values that do not fit it
 *
 * @example
 * ```ts
 * import { createModel, startEngine } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const config = { kind: 'maf', image, classes: 0, blocks: 2, hiddenLayers: 1, hiddenUnits: 32 };
 * const flow = createModel(config, 1);
 * console.log(flow.family.title(flow.config)); // 2-1-32
 * ```
 */
export function createModel<C extends ModelConfig>(config: C, seed: number): Model {
  const family = familyOf(config.kind);
  checkedValue(family.schema, config, 'The configuration', 'Choose values that fit its kind');
  return freshModel(family, config, seed);
}
