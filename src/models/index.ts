/** `tarflow/models`: the families of models, their configurations and checkpoints; encoders of captions. */
export {
  type CaptionEncoder,
  type EncodeOptions,
  UnknownCaption,
} from '../conditions/text/caption-encoder.js';
export {
  type CaptionedLatents,
  writeCaptionStates,
} from '../conditions/text/captioned-latents.js';
export { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
export {
  accuracy,
  type Classifier,
  type ClassifierConfig,
  type ClassifierTrainingOptions,
  classifier,
  classifierFeatures,
  disposeClassifier,
  loadClassifier,
  saveClassifier,
  trainClassifier,
} from './classifier/index.js';
export type { CouplingConfig } from './coupling/config.js';
export { type Coupling, coupling } from './coupling/index.js';
export { type LoadedModel, loadCheckpoint } from './load-checkpoint.js';
export type { MafConfig } from './maf/config.js';
export { type Maf, maf } from './maf/index.js';
export { readStartingPoint } from './read-starting-point.js';
export { createModel, familyOf, kinds } from './registry.js';
export type { StarFlowConfig } from './starflow/config.js';
export { type StarFlow, starflow } from './starflow/index.js';
export { TarFlowBlock } from './tarflow/block.js';
export { configName, type TarFlowConfig, tokenCount, tokenWidth } from './tarflow/config.js';
export { createTarFlow, imagesOf, type TarFlow, tarflow, tokensOf } from './tarflow/index.js';
export type { TarFlowParameters } from './tarflow/parameters.js';
export type { VaeConfig, VaeLoss } from './vae/config.js';
export { type Vae, vae } from './vae/index.js';
export type { VaeParameters } from './vae/parameters.js';
