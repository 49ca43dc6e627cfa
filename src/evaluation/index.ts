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
  frechetDistance,
} from './frechet.js';
export {
  type McNemarResult,
  mcNemarTest,
  mean,
  median,
  type PairedDifference,
  pairedDifference,
  plusMinus,
  quantile,
  standardDeviation,
  standardErrorOfShare,
} from './statistics.js';
