/** `tarflow/flow`: the mathematics of flows. */
export { type Background, narrowBackground, spreadBackground } from './background.js';
export { blockForward, type FlowBlock, predict } from './block.js';
export {
  configName,
  dimensions,
  type FlowConfig,
  type ImageSize,
  tokenCount,
  tokenWidth,
} from './config.js';
export { classMixture, type Label } from './labels.js';
export { type FlowParameters, initialParameters } from './parameters.js';
export { patchify, unpatchify } from './patches.js';
export { stateDict } from './state-dict.js';
export {
  createFlow,
  disposeFlow,
  type FlowLoss,
  type ForwardResult,
  flowBlocks,
  flowLoss,
  forward,
  forwardImages,
  forwardTokens,
  imagesOf,
  logProb,
  type TarFlow,
  tokensOf,
} from './tarflow.js';
