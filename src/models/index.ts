/**
 * The families of models, their configurations and checkpoints; encoders of captions.
 *
 * @example
 * ```ts
 * import { loadCheckpoint } from 'tarflow';
 * import { configName, tarflow } from 'tarflow/models';
 *
 * const file = 'results/checkpoints/noise/fashion-mnist-gaussian-0.1-seed-1.safetensors';
 * const flow = await loadCheckpoint(file, { family: tarflow });
 * console.log(configName(flow.config)); // 4-40-4-2
 * ```
 *
 * @module tarflow/models
 */

export {
  type CaptionedLatents,
  writeCaptionStates,
} from '../conditions/text/captioned-latents.js';
export { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
export { tokenCount, tokenWidth } from '../flow/patches.js';
export {
  type CaptionEncoder,
  type EncodeOptions,
  UnknownCaption,
} from '../pretrained/caption-encoder.js';
export {
  accuracy,
  type Classifier,
  type ClassifierConfig,
  classifier,
  classifierFeatures,
  disposeClassifier,
} from './classifier/family.js';
export type { CouplingConfig } from './coupling/config.js';
export { type Coupling, coupling } from './coupling/index.js';
export { type LoadedModel, loadCheckpoint, loadClassifier } from './load-checkpoint.js';
export type { MafConfig } from './maf/index.js';
export { type Maf, maf } from './maf/index.js';
export { readStartingPoint } from './read-starting-point.js';
export { createModel, familyOf, kinds } from './registry.js';
export type { StarFlowConfig } from './starflow/config.js';
export { type StarFlow, starflow } from './starflow/index.js';
export { TarFlowBlock } from './tarflow/block.js';
export { configName, type TarFlowConfig } from './tarflow/config.js';
export { createTarFlow, imagesOf, type TarFlow, tarflow, tokensOf } from './tarflow/index.js';
export type { TarFlowParameters } from './tarflow/parameters.js';
export type { VaeConfig, VaeLoss } from './vae/config.js';
export { type Vae, vae } from './vae/index.js';
export type { VaeParameters } from './vae/parameters.js';
