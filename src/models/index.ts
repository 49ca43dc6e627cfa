/**
 * The families of models, their configurations and checkpoints; encoders of captions.
 *
 * @example
 * ```ts
 * import { startEngine } from 'tarflow';
 * import { configName, createTarFlow } from 'tarflow/models';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createTarFlow(config, 1);
 * console.log(configName(flow.config)); // 2-32-2-1
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
export { createModel, familyOf, kinds, registerFamilies } from './registry.js';
export type { StarFlowConfig } from './starflow/config.js';
export { type StarFlow, starflow } from './starflow/index.js';
export { TarFlowBlock } from './tarflow/block.js';
export { configName, type TarFlowConfig } from './tarflow/config.js';
export { createTarFlow, imagesOf, type TarFlow, tarflow, tokensOf } from './tarflow/index.js';
export type { TarFlowParameters } from './tarflow/parameters.js';
export type { VaeConfig, VaeLoss } from './vae/config.js';
export { type Vae, vae } from './vae/index.js';
export type { VaeParameters } from './vae/parameters.js';
