/** `tarflow/sampling`: inverting a flow: solvers, their metrics and planner, guidance, denoising. */
export {
  type BlockPassage,
  type BlockPassages,
  blockPassages,
  type Convergence,
  followConvergence,
} from './convergence.js';
export { type DenoiseOptions, denoise, score } from './denoise.js';
export type { ExecutionOptions } from './execution.js';
export { type Guidance, guidedBlock } from './guidance.js';
export { type InverseOptions, inverse } from './inverse.js';
export { solveWithoutNearest } from './masked.js';
export {
  type ConvergenceRanking,
  convergenceRankingMetric,
  type InitialGuessing,
  initialGuessingMetric,
  type MetricOptions,
} from './metrics.js';
export { type Candidate, latentsToPlan, type PlanOptions, planSampling } from './plan.js';
export {
  modelFingerprint,
  type Plan,
  planDifferences,
  plannedSolvers,
  planPath,
  readPlan,
  writePlan,
} from './plan-file.js';
export {
  namedSolvers,
  type PublishedLists,
  publishedSolvers,
  publishedStrategies,
  strategyNames,
} from './published-strategies.js';
export { type SampleOptions, sample, sampleNoise } from './sample.js';
export { solveBlock } from './solve-block.js';
export {
  type IterationSettings,
  type Solver,
  selectiveJacobi,
  solverText,
} from './solver.js';
export { spectralNorm } from './spectral-norm.js';
export type { BlockTrace, IterationTrace } from './trace.js';
