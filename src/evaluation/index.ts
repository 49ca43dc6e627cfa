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
export { type BreakEven, breakEven, breakEvenOf } from './break-even.js';
export {
  confusionCounts,
  crossEntropy,
  logMeanExp,
  mostLikely,
  type Reliability,
  type ReliabilityBin,
  reliability,
  softmax,
} from './classification.js';
export { type ConformRow, conform } from './conform.js';
export {
  type FeatureStatistics,
  type Features,
  featureStatistics,
  frechetDistance,
} from './frechet.js';
export { type ConcordantPairs, concordantPairs } from './ranking.js';
export {
  classifierStatistics,
  type PixelDistance,
  pixelDistance,
  type SampleQuality,
  sampleQuality,
} from './sample-quality.js';
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
