/**
 * tarflow: transformer autoregressive flows. What most users look for; the rest stands in
 * `tarflow/flow`, `/models`, `/sampling`, `/training`, `/data`, `/evaluation`, `/backend` and
 * `/workbook`.
 */
export { startEngine } from './backend/engine.js';
export { Interruption, UserError } from './backend/errors.js';
export { tf, tidy } from './backend/tf.js';
export type { Label } from './conditions/labels.js';
export {
  type DataSource,
  datasetNames,
  type ImageDataset,
  imagesTensor,
  loadDataset,
  openDataset,
} from './data/index.js';
export {
  bitsPerDimension,
  datasetBitsPerDimension,
  logProb,
} from './evaluation/bits-per-dimension.js';
export { featureStatistics } from './evaluation/distances/features.js';
export { frechetDistance } from './evaluation/distances/frechet.js';
export {
  type Experiment,
  experiments,
  findExperiment,
  noiseExperiment,
  withOverrides,
} from './experiments/index.js';
export { disposeModel, forward } from './flow/flow.js';
export type { Family, Model, ModelConfig } from './flow/model.js';
export { type LoadedModel, loadCheckpoint } from './models/load-checkpoint.js';
export { createModel, familyOf } from './models/registry.js';
export { type TarFlow, tarflow } from './models/tarflow/index.js';
export { type AutoencodeOptions, decode, encode } from './sampling/autoencode.js';
export { type DenoiseOptions, denoise, score } from './sampling/denoise.js';
export type { Guidance } from './sampling/guidance/guided-block.js';
export { type InverseOptions, inverse } from './sampling/inverse.js';
export { plannedSolvers } from './sampling/planner/plan-file.js';
export { planSampling } from './sampling/planner/plan-sampling.js';
export { type SampleOptions, sample } from './sampling/sample.js';
export { type Solver, selectiveJacobi } from './sampling/solvers/solver.js';
export { saveCheckpoint } from './training/checkpoint.js';
export type { TrainingSettings } from './training/settings.js';
export { type TrainingRun, train } from './training/train.js';
export { saveImageGrid } from './workbook/index.js';
