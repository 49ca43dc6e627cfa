import type { TarFlow, TarFlowConfig } from '../../src/models/index.js';
import { movedModel } from '../models/cases.js';
import { smallConfig, tarflowCases } from '../models/tarflow/cases.js';

export { difference, randomImages, randomLatents } from '../models/cases.js';

/** A small TarFlow that is no longer near the identity, see `movedModel`. */
export function smallFlow(changes: Partial<TarFlowConfig> = {}, seed = 1, strength = 1): TarFlow {
  return movedModel(tarflowCases, { ...smallConfig, ...changes }, { seed, strength });
}
