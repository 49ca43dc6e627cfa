/**
 * Transformer autoregressive flows: what most users look for. The rest stands in `tarflow/core`, `/data`,
 * `/evaluation`, `/flow`, `/models`, `/sampling`, `/training` and `/workbook`.
 *
 * @example
 * ```ts
 * import { createModel, sample, saveImageGrid, startEngine } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * // One that was trained: loadCheckpoint('runs/mypics'), and labels by name.
 * const images = await sample(flow, { count: 4, label: 1, seed: 7 });
 * await saveImageGrid(images, 'four.png');
 * ```
 *
 * @module tarflow
 */

export type { CliCommand } from './cli/command.js';
export type { Extension } from './cli/extension.js';
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
export { bitsPerDimension, datasetBitsPerDimension } from './evaluation/bits-per-dimension.js';
export { featureStatistics } from './evaluation/feature-statistics.js';
export { frechetDistance } from './evaluation/frechet-distance.js';
export { logProb, score } from './flow/density.js';
export { forward } from './flow/forward.js';
export type { Family, Model, ModelConfig } from './flow/model.js';
export { disposeModel } from './flow/state-dict.js';
export { withOverrides } from './models/experiments.js';
export { type LoadedModel, loadCheckpoint } from './models/load-checkpoint.js';
export { createModel, familyOf } from './models/registry.js';
export { type TarFlow, tarflow } from './models/tarflow/index.js';
export { type PicturesOptions, type TrainedPictures, train } from './models/train-pictures.js';
export { type AutoencodeOptions, decode, encode } from './sampling/autoencode.js';
export { type DenoiseOptions, denoise } from './sampling/denoise.js';
export type { Guidance } from './sampling/guidance.js';
export { type InverseOptions, inverse } from './sampling/inverse.js';
export { plannedSolvers } from './sampling/planner/plan-file.js';
export { planSampling } from './sampling/planner/plan-sampling.js';
export { type SampleOptions, sample } from './sampling/sample.js';
export type { Solver } from './sampling/solvers/solvers.js';
export { selectiveJacobi } from './sampling/solvers/strategies.js';
export { saveImageGrid } from './show/image-grid.js';
export { saveCheckpoint } from './training/checkpoint.js';
export type { Experiment } from './training/experiment.js';
export type { TrainingSettings } from './training/settings.js';
export type { TrainingRun } from './training/train.js';
