/** `tarflow/flow`: the mathematics of flows, and what every family of models has. */
export { classMixture, type Label } from '../conditions/labels.js';
export type { AutoregressiveBlock, Conditions } from './autoregressive.js';
export { type Background, narrowBackground, spreadBackground } from './background.js';
export {
  blocksOf,
  dimensions,
  disposeModel,
  type FlowLoss,
  flowLoss,
  forward,
  logProbOf,
} from './flow.js';
export { denormalise, type Gaussian, normalise } from './gaussian.js';
export type {
  AutoencoderAbility,
  Family,
  ForwardResult,
  Model,
  ModelConfig,
  Posterior,
} from './model.js';
export { patchify, unpatchify } from './patches.js';
export { stateDict } from './state-dict.js';
export { blockForward, forwardThroughBlocks } from './through-blocks.js';
