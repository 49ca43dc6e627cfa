/** `tarflow/evaluation`: likelihood, distances of features, conformance, acceleration. */
export {
  type AutoencoderQuality,
  type AutoencoderQualityOptions,
  autoencoderQuality,
} from './autoencoder-quality.js';
export {
  type BitsPerDimensionResult,
  bitsPerDimension,
  type ClassMean,
  datasetBitsPerDimension,
  logProb,
  meansByClass,
} from './bits-per-dimension.js';
export {
  type ClassDiversity,
  classDiversity,
  finiteImages,
  type JudgedImages,
  judgeImages,
  shareEntropy,
} from './class-judge.js';
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
export { logAbsDeterminant } from './determinant.js';
export {
  type CaptionAgreement,
  type CaptionedFeatures,
  captionAgreement,
} from './distances/caption-agreement.js';
export {
  type FeatureMoments,
  type FeatureRows,
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
export { type ResamplingOptions, resamplingError } from './distances/resampling-error.js';
export {
  isStatisticsFile,
  readStatistics,
  type StoredStatistics,
  writeStatistics,
} from './distances/statistics-file.js';
export { loadDinoV2 } from './features/dinov2.js';
export { loadEfficientNetLite0 } from './features/efficientnet-lite0.js';
export { loadInceptionV3 } from './features/inception-v3.js';
export { keptStatistics } from './features/kept-statistics.js';
export {
  classifierNetwork,
  featureNetworkNames,
  openFeatureNetwork,
} from './features/named-network.js';
export {
  type FeatureNetwork,
  type FeaturesOptions,
  featuresOf,
  type ImagesToSee,
  statisticsOfImages,
} from './features/network.js';
export { jacobians, tokenNorms } from './jacobian.js';
export {
  convergedBelow,
  type LossConvergence,
  lossConvergence,
  lossConvergenceText,
  type ValidatedStep,
} from './loss-convergence.js';
export {
  type ProcessorCache,
  processorCaches,
  productRate,
  readingRate,
} from './machine-rates.js';
export { type NearShare, type Neighbour, nearestImages, nearShare } from './nearest-images.js';
export { peakSignalToNoise } from './peak-signal.js';
export { alongAxes, type PrincipalAxes, principalAxes } from './principal-axes.js';
export { type ConcordantPairs, concordantPairs } from './ranking.js';
export {
  classifierStatistics,
  type PixelDistance,
  pixelDistance,
} from './sample-quality.js';
export {
  type Bins,
  correlation,
  cumulativeShares,
  histogram,
  type McNemarResult,
  mcNemarTest,
  mean,
  median,
  type NormalityMeasures,
  normalityMeasures,
  type PairedDifference,
  pairedDifference,
  plusMinus,
  quantile,
  rankCorrelation,
  type Smoothness,
  smoothness,
  standardDeviation,
  standardErrorOfMean,
  standardErrorOfShare,
} from './statistics.js';
export {
  earlierReadingsText,
  openTestSplit,
  type TestReading,
  type TestReadingRequest,
  testReadings,
  weightsDigest,
} from './test-readings.js';
