/**
 * Likelihoods, distances of features, statistics of measurements.
 *
 * @example
 * ```ts
 * import { mean, standardErrorOfMean } from 'tarflow/evaluation';
 *
 * const distances = [118.98, 128.8, 121.22];
 * console.log(mean(distances), standardErrorOfMean(distances));
 * ```
 *
 * @module tarflow/evaluation
 */

export { logProb } from '../flow/density.js';
export { loadEfficientNetLite0 } from '../pretrained/efficientnet-lite0.js';
export type { FeatureNetwork } from '../pretrained/feature-network.js';
export { loadInceptionV3 } from '../pretrained/inception-v3.js';
export { type AnomalyOptions, type AnomalyScores, anomalyScores } from './anomaly-scores.js';
export {
  type AutoencoderQuality,
  type AutoencoderQualityOptions,
  autoencoderQuality,
  psnr,
} from './autoencoder-quality.js';
export {
  type BitsPerDimensionResult,
  bitsPerDimension,
  type ClassMean,
  datasetBitsPerDimension,
  meansByClass,
} from './bits-per-dimension.js';
export { type Detection, detection } from './detection.js';
export {
  type FeatureMoments,
  type FeatureRows,
  type FeatureStatistics,
  type Features,
  featureStatistics,
  RunningStatistics,
} from './feature-statistics.js';
export { frechetDistance } from './frechet-distance.js';
export {
  type FeaturesOptions,
  featuresOf,
  type ImagesToSee,
  keptStatistics,
  statisticsOfImages,
} from './image-features.js';
export {
  type KernelInceptionDistance,
  type KernelInceptionDistanceOptions,
  kernelInceptionDistance,
} from './kid.js';
export {
  classifierNetwork,
  featureNetworkNames,
  openFeatureNetwork,
} from './named-network.js';
export {
  type NeighbourMeasures,
  type NeighbourOptions,
  neighbourMeasures,
} from './neighbours.js';
export { type ResamplingOptions, resamplingError } from './resampling-error.js';
export {
  mean,
  median,
  quantile,
  standardDeviation,
  standardErrorOfMean,
  standardErrorOfShare,
} from './statistics.js';
export {
  isStatisticsFile,
  readStatistics,
  type StoredStatistics,
  writeStatistics,
} from './statistics-file.js';
export {
  earlierReadingsText,
  openTestSplit,
  type TestReading,
  type TestReadingRequest,
  testReadings,
  weightsDigest,
} from './test-readings.js';
