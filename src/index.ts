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
export {
  datasetNames,
  type ImageDataset,
  imagesTensor,
  labelBatch,
  loadDataset,
  pixelBatch,
  toUnitRange,
} from './data/index.js';
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
  compiledLogProb,
  datasetBitsPerDimension,
} from './evaluation/bits-per-dimension.js';
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
} from './evaluation/classifier.js';
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
export { type Background, narrowBackground, spreadBackground } from './flow/background.js';
export { blockForward, type FlowBlock, predict } from './flow/block.js';
export {
  configName,
  dimensions,
  type FlowConfig,
  type ImageSize,
  tokenCount,
  tokenWidth,
} from './flow/config.js';
export { classMixture, type Label } from './flow/labels.js';
export { type FlowParameters, initialParameters } from './flow/parameters.js';
export { patchify, unpatchify } from './flow/patches.js';
export { stateDict } from './flow/state-dict.js';
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
} from './flow/tarflow.js';
export {
  type BlockPassage,
  type BlockPassages,
  blockPassages,
  type Convergence,
  followConvergence,
} from './sampling/convergence.js';
export { type DenoiseOptions, denoise, score } from './sampling/denoise.js';
export type { ExecutionOptions } from './sampling/execution.js';
export { type Guidance, guidedBlock } from './sampling/guidance.js';
export { type InverseOptions, inverse } from './sampling/inverse.js';
export { solveWithoutNearest } from './sampling/masked.js';
export {
  type ConvergenceRanking,
  convergenceRankingMetric,
  type InitialGuessing,
  initialGuessingMetric,
  type MetricOptions,
} from './sampling/metrics.js';
export { type Candidate, latentsToPlan, type PlanOptions, planSampling } from './sampling/plan.js';
export {
  modelFingerprint,
  type Plan,
  planDifferences,
  plannedSolvers,
  planPath,
  readPlan,
  writePlan,
} from './sampling/plan-file.js';
export {
  namedSolvers,
  type PublishedLists,
  publishedSolvers,
  publishedStrategies,
  strategyNames,
} from './sampling/published-strategies.js';
export { type SampleOptions, sample, sampleNoise } from './sampling/sample.js';
export { solveBlock } from './sampling/solve-block.js';
export {
  type IterationSettings,
  type Solver,
  selectiveJacobi,
  solverText,
} from './sampling/solver.js';
export { spectralNorm } from './sampling/spectral-norm.js';
export type { BlockTrace, IterationTrace } from './sampling/trace.js';
export { type AdamWOptions, adamWInit, adamWUpdate, biasCorrections } from './training/adamw.js';
export {
  type CheckpointDetails,
  type LoadedFlow,
  loadCheckpoint,
  type StoredPrecision,
  saveCheckpoint,
} from './training/checkpoint.js';
export { type Noise, noisyImages } from './training/noise.js';
export { RunFolder, type StepRecord, type Validation } from './training/run-folder.js';
export { learningRate } from './training/schedule.js';
export type { TrainingSettings } from './training/settings.js';
export { type LoadedStartingPoint, readStartingPoint } from './training/starting-point.js';
export { type TrainingResult, type TrainingRun, train } from './training/train.js';
export * from './workbook/index.js';
