/** tarflow: transformer autoregressive flows. This file is the public surface, nothing else. */
export {
  currentEngine,
  type EngineName,
  type EngineReport,
  startEngine,
} from './backend/engine.js';
export { UserError } from './backend/errors.js';
export {
  type CompiledCall,
  callCompiled,
  createProgram,
  disposeCompiled,
  type Feed,
  type Mode,
  type Precision,
  type Program,
  type ProgramFunction,
  type ProgramOptions,
  repeat,
  type TensorSpec,
  tensorSpec,
  withSlice,
} from './backend/program/index.js';
export {
  foldIn,
  integers,
  normal,
  permutation,
  type RandomKey,
  randomKey,
  uniform,
} from './backend/random.js';
export { tf } from './backend/tf.js';
export {
  disposeTree,
  type Leaves,
  leaves,
  mapTree,
  treeSize,
  valueAndGradient,
  withLeaves,
} from './backend/tree.js';
export { classMixture, type Label } from './conditions/labels.js';
export {
  type DataSource,
  datasetNames,
  type FolderOptions,
  type ImageDataset,
  type ImageParts,
  imageDataset,
  imagesTensor,
  labelBatch,
  loadDataset,
  openDataset,
  openFolder,
  openLatents,
  pixelBatch,
  type Split,
  toUnitRange,
} from './data/index.js';
export type { ImageSize } from './data/source.js';
export {
  type Acceleration,
  type AccelerationOptions,
  type AccelerationRow,
  accelerationStrategies,
  measureAcceleration,
} from './evaluation/acceleration.js';
export {
  type BitsPerDimensionResult,
  bitsPerDimension,
  datasetBitsPerDimension,
  logProb,
} from './evaluation/bits-per-dimension.js';
export { type ConformRow, conform } from './evaluation/conform.js';
export {
  type FeatureStatistics,
  type Features,
  featureStatistics,
  frechetDistance,
} from './evaluation/frechet.js';
export {
  type Experiment,
  experiments,
  findExperiment,
  noiseExperiment,
  withOverrides,
} from './experiments/index.js';
export type { AutoregressiveBlock, Conditions } from './flow/autoregressive.js';
export { type Background, narrowBackground, spreadBackground } from './flow/background.js';
export {
  blocksOf,
  dimensions,
  disposeModel,
  type FlowLoss,
  flowLoss,
  forward,
  logProbOf,
} from './flow/flow.js';
export { denormalise, type Gaussian, normalise } from './flow/gaussian.js';
export type { Family, ForwardResult, Model, ModelConfig } from './flow/model.js';
export { patchify, unpatchify } from './flow/patches.js';
export { stateDict } from './flow/state-dict.js';
export { blockForward, forwardThroughBlocks } from './flow/through-blocks.js';
export {
  accuracy,
  type Classifier,
  type ClassifierConfig,
  type ClassifierTrainingOptions,
  classifierFeatures,
  disposeClassifier,
  loadClassifier,
  saveClassifier,
  trainClassifier,
} from './models/classifier/index.js';
export { type LoadedModel, loadCheckpoint } from './models/load-checkpoint.js';
export { createModel, familyOf, kinds } from './models/registry.js';
export {
  configName,
  type TarFlowConfig,
  tokenCount,
  tokenWidth,
} from './models/tarflow/config.js';
export {
  createTarFlow,
  imagesOf,
  type TarFlow,
  tarflow,
  tokensOf,
} from './models/tarflow/index.js';
export type { TarFlowParameters } from './models/tarflow/parameters.js';
export { type DenoiseOptions, denoise, score } from './sampling/denoise.js';
export type { ExecutionOptions } from './sampling/guidance/execution.js';
export { type Guidance, guidedBlock } from './sampling/guidance/guided-block.js';
export { type InverseOptions, inverse } from './sampling/inverse.js';
export {
  modelFingerprint,
  type Plan,
  planDifferences,
  plannedSolvers,
  planPath,
  readPlan,
  writePlan,
} from './sampling/planner/plan-file.js';
export {
  type Candidate,
  latentsToPlan,
  type PlanOptions,
  planSampling,
} from './sampling/planner/plan-sampling.js';
export { type SampleOptions, sample, sampleNoise } from './sampling/sample.js';
export {
  namedSolvers,
  type PublishedLists,
  publishedSolvers,
  publishedStrategies,
  strategyNames,
} from './sampling/solvers/published-strategies.js';
export { solveBlock } from './sampling/solvers/solve-block.js';
export type { BlockTrace, IterationTrace } from './sampling/solvers/solve-record.js';
export {
  type IterationSettings,
  type Solver,
  selectiveJacobi,
  solverText,
} from './sampling/solvers/solver.js';
export {
  type BlockPassage,
  type BlockPassages,
  blockPassages,
  type Convergence,
  followConvergence,
} from './sampling/study/convergence.js';
export { solveWithoutNearest } from './sampling/study/masked.js';
export {
  type ConvergenceRanking,
  convergenceRankingMetric,
  type InitialGuessing,
  initialGuessingMetric,
  type MetricOptions,
} from './sampling/study/metrics.js';
export { spectralNorm } from './sampling/study/spectral-norm.js';
export { type Noise, noisyImages } from './training/batches/index.js';
export {
  type CheckpointDetails,
  type StoredPrecision,
  saveCheckpoint,
} from './training/checkpoint.js';
export {
  type AdamWOptions,
  adamWInit,
  adamWUpdate,
  biasCorrections,
} from './training/optimiser/adamw.js';
export { learningRate } from './training/optimiser/schedule.js';
export type { LikelihoodRecord, StepRecord, Validation } from './training/record.js';
export { RunFolder } from './training/run-folder.js';
export type { TrainingSettings } from './training/settings.js';
export { type TrainingResult, type TrainingRun, train } from './training/train.js';
export * from './workbook/index.js';
