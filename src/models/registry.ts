import { unknownName } from '../core/errors.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import { freshModel } from '../flow/state-dict.js';
import { type ClassifierConfig, classifier } from './classifier/family.js';
import type { CouplingConfig } from './coupling/config.js';
import { coupling } from './coupling/index.js';
import { type MafConfig, maf } from './maf/index.js';
import type { StarFlowConfig } from './starflow/config.js';
import { starflow } from './starflow/index.js';
import type { TarFlowConfig } from './tarflow/config.js';
import { tarflow } from './tarflow/index.js';
import type { VaeConfig } from './vae/config.js';
import { vae } from './vae/index.js';

const families = new Map<string, Family>();
const names: string[] = [];

/** A configuration of one of the kinds of models. */
export type AnyConfig =
  | TarFlowConfig
  | ClassifierConfig
  | MafConfig
  | CouplingConfig
  | StarFlowConfig
  | VaeConfig;

/** The kinds of models: those of the library, and those that were registered since. */
export const kinds: readonly string[] = names;

/**
 * Makes families known by their kinds to {@link familyOf}, and so to checkpoints, experiments and the command
 * line; a kind that is known already stands for the new one.
 */
export function registerFamilies(added: readonly Family[]): void {
  for (const family of added) {
    if (!families.has(family.kind)) names.push(family.kind);
    families.set(family.kind, family);
  }
}

// This is the only switch on the kind.
registerFamilies([tarflow, classifier, maf, coupling, starflow, vae]);

/**
 * The family of a kind.
 * @throws UserError that lists the kinds there are
 *
 * @example
 * ```ts
 * import { familyOf } from 'tarflow';
 *
 * const image = { channels: 1, height: 8, width: 8 };
 * const config = { kind: 'maf', image, classes: 0, blocks: 2, hiddenLayers: 1, hiddenUnits: 32 };
 * console.log(familyOf(config.kind).title(config)); // 2-1-32
 * ```
 */
export function familyOf(kind: string): Family {
  const family = families.get(kind);
  if (family) return family;
  throw unknownName('kind of model', kind, kinds);
}

/**
 * A fresh model from a seed, of the kind that its configuration names. The caller frees it with
 * `disposeModel`.
 *
 * @param config with the fields of its kind: the compiler checks them where it knows the kind
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
export function createModel<const K extends string>(
  config: ModelConfig & { kind: K } & (string extends K
      ? unknown
      : Extract<AnyConfig, { kind: K }>),
  seed: number,
): Model {
  return freshModel(familyOf(config?.kind), config, seed);
}
