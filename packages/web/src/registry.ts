/**
 * In a bundle for browsers this module stands in the place of `src/models/registry.ts`: the flows that solvers
 * invert. The other families bring much code that no page here needs.
 */
import { unknownName } from '../../../src/core/errors.js';
import type { Family } from '../../../src/flow/model.js';
import { maf } from '../../../src/models/maf/index.js';
import { starflow } from '../../../src/models/starflow/index.js';
import { tarflow } from '../../../src/models/tarflow/index.js';

const families: readonly Family[] = [tarflow, maf, starflow];

export const kinds = families.map(({ kind }) => kind);

/** @throws UserError that lists the kinds there are */
export function familyOf(kind: string): Family {
  const family = families.find((one) => one.kind === kind);
  if (family) return family;
  throw unknownName('kind of model', kind, kinds);
}
