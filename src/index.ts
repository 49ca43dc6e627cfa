/**
 * tarflow: transformer autoregressive flows. What most users look for; the rest stands in
 * `tarflow/flow`, `/models`, `/sampling`, `/training`, `/data`, `/evaluation`, `/core` and
 * `/workbook`.
 */

export type { Label } from './conditions/labels.js';
export { startEngine } from './core/engine.js';
export { Interruption, UserError } from './core/errors.js';
export { tf, tidy } from './core/tf.js';
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
export { disposeModel, forward } from './flow/flow.js';
export type { Family, Model, ModelConfig } from './flow/model.js';
export { type LoadedModel, loadCheckpoint } from './models/load-checkpoint.js';
export { withOverrides } from './models/overrides.js';
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
export { saveImageGrid } from './show/image-grid.js';
export { saveCheckpoint } from './training/checkpoint.js';
export type { Experiment } from './training/experiment.js';
export type { TrainingSettings } from './training/settings.js';
export { type TrainingRun, train } from './training/train.js';
