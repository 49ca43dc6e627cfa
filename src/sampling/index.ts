/** `tarflow/sampling`: inverting a flow: solvers, their metrics and planner, guidance, denoising; latents and back. */
export { type AutoencodeOptions, decode, encode } from './autoencode.js';
export { type DenoiseOptions, denoise, score } from './denoise.js';
export {
  type EncodeDatasetOptions,
  type EncodedImage,
  encodeDataset,
  encodedWhileWritten,
} from './encode-dataset.js';
export type { ExecutionOptions } from './guidance/execution.js';
export { type Guidance, guidedBlock } from './guidance/guided-block.js';
export { type InverseOptions, inverse } from './inverse.js';
export { currentMachine, type Machine } from './planner/machine.js';
export {
  modelFingerprint,
  type Plan,
  planDifferences,
  plannedSolvers,
  planPath,
  readPlan,
  sequentialPlan,
  writePlan,
} from './planner/plan-file.js';
export {
  type Candidate,
  latentsToPlan,
  type PlanOptions,
  planSampling,
} from './planner/plan-sampling.js';
export { type SampleOptions, sample, sampleNoise } from './sample.js';
export {
  namedSolvers,
  type PublishedLists,
  publishedSolvers,
  publishedStrategies,
  strategyNames,
} from './solvers/published-strategies.js';
export { solveBlock } from './solvers/solve-block.js';
export type { BlockTrace, IterationTrace } from './solvers/solve-record.js';
export {
  type IterationSettings,
  type Solver,
  selectiveJacobi,
  solverText,
} from './solvers/solver.js';
export {
  type BlockPassage,
  type BlockPassages,
  blockPassages,
  type Convergence,
  followConvergence,
} from './study/convergence.js';
export {
  type ConvergenceRate,
  convergenceRate,
  errorFactors,
  geometricMean,
} from './study/convergence-rate.js';
export { type Difference, differenceOf, rootMeanSquare } from './study/difference.js';
export { checkGuarantee, type GuaranteeCheck } from './study/guarantee.js';
export { solveWithoutNearest } from './study/masked.js';
export { largestOutside, type PowerNorms, powerNorms } from './study/matrix-powers.js';
export {
  type ConvergenceRanking,
  convergenceRankingMetric,
  type InitialGuessing,
  initialGuessingMetric,
  type MetricOptions,
} from './study/metrics.js';
export { spectralNorm } from './study/spectral-norm.js';
