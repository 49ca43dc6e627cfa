/**
 * The mathematics of flows, and what every family of models has.
 *
 * @example
 * ```ts
 * import { createModel } from 'tarflow';
 * import { startEngine, tf } from 'tarflow/core';
 * import { blocksOf, patchify } from 'tarflow/flow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const flow = createModel({ kind: 'maf', image, classes: 0, blocks: 2, hiddenLayers: 1, hiddenUnits: 32 }, 1);
 * const tokens = patchify({ image, patchSize: 4 }, tf.zeros([1, 1, 8, 8]));
 * console.log(blocksOf(flow).length, tokens.shape); // 2 [ 1, 4, 16 ]
 * ```
 *
 * @module tarflow/flow
 */

export { classMixture, type Label } from '../conditions/labels.js';
export type { AutoregressiveBlock, Conditions } from './autoregressive.js';
export { type Background, narrowBackground, spreadBackground } from './background.js';
export { type FlowLoss, flowLoss, logProbOf } from './density.js';
export { logProbMap } from './density-map.js';
export { blockForward, forward, forwardThroughBlocks } from './forward.js';
export { denormalise, type Gaussian, normalise } from './gaussian.js';
export type {
  AutoencoderAbility,
  Family,
  ForwardResult,
  Model,
  ModelConfig,
  Posterior,
} from './model.js';
export { blocksOf, dimensions } from './model.js';
export { patchify, unpatchify } from './patches.js';
export { disposeModel, stateDict } from './state-dict.js';
