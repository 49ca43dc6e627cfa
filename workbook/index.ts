/**
 * What a notebook cell calls. In plain Node.js the same functions print text and write files.
 *
 * @example
 * ```ts
 * import { showTable } from 'tarflow/workbook';
 *
 * showTable([{ flow: '4-64-4-2', FD: 117.5 }], { caption: 'One training' });
 * ```
 *
 * @module tarflow/workbook
 */

export {
  clearOutput,
  display,
  displayHtml,
  displayMarkdown,
  displayPng,
  inNotebook,
  type MimeBundle,
  newDisplay,
  type UpdatableDisplay,
} from '../src/show/display.js';
export {
  type GridOptions,
  type HostImages,
  type Images,
  imageGrid,
  saveImageGrid,
  showImages,
} from '../src/show/image-grid.js';
export { untilInterrupted } from '../src/show/interrupt.js';
export {
  formatDuration,
  type Progress,
  type ProgressFields,
  type ProgressOptions,
  startProgress,
} from '../src/show/progress.js';
export {
  type Frame,
  formatValue,
  saveTable,
  showTable,
  type TableOptions,
} from '../src/show/table.js';
export * from './acceleration/acceleration-table.js';
export * from './acceleration/charts.js';
export * from './acceleration/measure.js';
export * from './acceleration/records.js';
export * from './acceleration/solver-study.js';
export * from './charts/builders.js';
export { type ChartSpec, renderChart, saveChart, showChart } from './charts/chart.js';
export * from './charts/maps.js';
export * from './charts/statistics.js';
export * from './charts/training-curves.js';
export * from './experiments/index.js';
export {
  type CaptionAgreement,
  type CaptionedFeatures,
  captionAgreement,
} from './measures/caption-agreement.js';
export {
  type ClassDiversity,
  classDiversity,
  classifierStatistics,
  finiteImages,
  type JudgedImages,
  judgeImages,
  shareEntropy,
} from './measures/class-judge.js';
export {
  confusionCounts,
  crossEntropy,
  logMeanExp,
  mostLikely,
  type Reliability,
  type ReliabilityBin,
  reliability,
  softmax,
} from './measures/classification.js';
export {
  type McNemarResult,
  mcNemarTest,
  type PairedDifference,
  pairedDifference,
} from './measures/comparison.js';
export {
  type ConcordantPairs,
  concordantPairs,
  correlation,
  rankCorrelation,
} from './measures/correlation.js';
export {
  type Bins,
  cumulativeShares,
  histogram,
  type NormalityMeasures,
  normalityMeasures,
  plusMinus,
  type Smoothness,
  smoothness,
} from './measures/distribution.js';
export {
  type ConvergenceRate,
  convergenceRate,
  type Difference,
  differenceOf,
  errorFactors,
  geometricMean,
  largestOutside,
  type PowerNorms,
  powerNorms,
  rootMeanSquare,
} from './measures/error-measures.js';
export { solveWithoutNearest } from './measures/hidden-tokens.js';
export { jacobians, logAbsDeterminant, tokenNorms } from './measures/jacobian.js';
export {
  convergedBelow,
  type LossConvergence,
  lossConvergence,
  lossConvergenceText,
  type ValidatedStep,
} from './measures/loss-convergence.js';
export {
  type ProcessorCache,
  processorCaches,
  productRate,
  readingRate,
} from './measures/machine-rates.js';
export {
  type NearShare,
  type Neighbour,
  nearestImages,
  nearShare,
} from './measures/nearest-images.js';
export { type PrincipalComponents, principalComponents, projectOnto } from './measures/pca.js';
export { type PixelDistance, pixelDistance } from './measures/pixel-distance.js';
export * from './notebook/dataset-images.js';
export * from './notebook/image-rows.js';
export * from './notebook/models.js';
export * from './notebook/numbers-in-text.js';
export * from './notebook/published-rows.js';
export * from './notebook/timing.js';
export {
  type FigureName,
  type MeasurementId,
  type PublishedFigure,
  publishedFigure,
} from './papers/index.js';
export {
  type ClaimDetails,
  type Figures,
  type FiguresOf,
  figuresOf,
  type RecordedClaim,
  type RecordedFigure,
  type ResultRow,
  readClaim,
  recordClaim,
  resultsTable,
} from './records/claim.js';
export type { Acceleration, AccelerationRow } from './records/record.js';
export {
  quick,
  resultFile,
  resultsFolder,
  resultToRead,
  training,
} from './records/results-folder.js';
export * from './records/table.js';
export {
  type CommittedRun,
  commitRun,
  commitSnapshot,
  committedCheckpoint,
  readCommittedRun,
} from './records/training-run.js';
