/**
 * Inverting a flow: solvers, their metrics and planner, guidance, denoising; latents and back.
 *
 * @example
 * ```ts
 * import { createModel, startEngine } from 'tarflow';
 * import { sampleNoise } from 'tarflow/sampling';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * console.log(sampleNoise(flow, 7, 0, 2).shape); // [ 2, 16, 4 ]
 * ```
 *
 * @module tarflow/sampling
 */

export type { ExecutionOptions } from '../core/engine.js';
export { score } from '../flow/density.js';
export { type AutoencodeOptions, decode, encode } from './autoencode.js';
export { type DenoiseOptions, denoise } from './denoise.js';
export {
  type EncodeDatasetOptions,
  type EncodedImage,
  encodeDataset,
  encodedWhileWritten,
} from './encode-dataset.js';
export { type ConditionedBlock, type Guidance, withGuidance } from './guidance.js';
export { type Inpainted, type InpaintOptions, inpaint } from './inpaint.js';
export { type EditOptions, editLatents, interpolate } from './interpolate.js';
export { type InverseOptions, inverse } from './inverse.js';
export type { Candidate } from './planner/choice.js';
export { currentMachine, type Machine } from './planner/machine.js';
export {
  modelFingerprint,
  type Plan,
  planDifferences,
  plannedSolvers,
  planPath,
  readPlan,
  writePlan,
} from './planner/plan-file.js';
export { latentsToPlan, type PlanOptions, planSampling } from './planner/plan-sampling.js';
export { type SampleOptions, sample, sampleNoise } from './sample.js';
export type {
  IterationTrace,
  SolveContext,
  SolverDefinition,
} from './solvers/definition.js';
export { type Execution, executionOf } from './solvers/execution.js';
export { type PublishedLists, publishedStrategies } from './solvers/published/published.js';
export { type BlockTrace, solveBlock } from './solvers/solve-block.js';
export type { IterationSettings } from './solvers/solver-settings.js';
export {
  type RegisteredSolvers,
  registerSolver,
  type Solver,
  solverText,
} from './solvers/solvers.js';
export {
  namedSolvers,
  publishedSolvers,
  selectiveJacobi,
  strategyNames,
} from './solvers/strategies.js';
export {
  type ConvergenceRanking,
  convergenceRankingMetric,
  type InitialGuessing,
  initialGuessingMetric,
  type MetricOptions,
  spectralNorm,
} from './study/metrics.js';
export {
  type BlockTrajectory,
  samplingTrajectory,
  type Trajectory,
} from './study/trajectories.js';
