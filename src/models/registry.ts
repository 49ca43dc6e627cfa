import { UserError } from '../backend/errors.js';
import { freshModel } from '../flow/flow.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import { classifier } from './classifier/family.js';
import { coupling } from './coupling/index.js';
import { maf } from './maf/index.js';
import { tarflow } from './tarflow/index.js';

/** Every kind of model. This is the only switch on the kind. */
const families: Record<string, Family> = {
  tarflow,
  classifier,
  maf,
  coupling,
};

/** The kinds of models, in the order of the registry. */
export const kinds: readonly string[] = Object.keys(families);

/**
 * The family of a kind.
 * @throws UserError that lists the kinds there are
 */
export function familyOf(kind: string): Family {
  const family = Object.hasOwn(families, kind) ? families[kind] : undefined;
  if (family) return family;
  throw new UserError(`Unknown kind of model '${kind}'`, `Expected one of ${kinds.join(', ')}`);
}

/** A fresh model from a seed, of the kind that its configuration names. */
export function createModel(config: ModelConfig, seed: number): Model {
  return freshModel(familyOf(config.kind), config, seed);
}
