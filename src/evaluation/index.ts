/** `tarflow/evaluation`: likelihood, distances of features, conformance, acceleration. */
export {
  type Acceleration,
  type AccelerationOptions,
  type AccelerationRow,
  accelerationStrategies,
  measureAcceleration,
} from './acceleration.js';
export {
  type BitsPerDimensionResult,
  bitsPerDimension,
  datasetBitsPerDimension,
  logProb,
} from './bits-per-dimension.js';
export { type ConformRow, conform } from './conform.js';
export {
  type FeatureStatistics,
  type Features,
  featureStatistics,
  RunningStatistics,
} from './distances/features.js';
export { frechetDistance } from './distances/frechet.js';
export {
  type KernelDistance,
  type KernelDistanceOptions,
  kernelDistance,
} from './distances/kernel.js';
export {
  type NeighbourMeasures,
  type NeighbourOptions,
  neighbourMeasures,
} from './distances/neighbours.js';
