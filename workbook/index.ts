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
  type CompressedImages,
  type CompressOptions,
  compressImages,
  decompressImages,
} from '../src/compression/compressed-images.js';
export * from '../src/show/display.js';
export * from '../src/show/image-grid.js';
export { untilInterrupted } from '../src/show/interrupt.js';
export {
  formatDuration,
  type Progress,
  type ProgressFields,
  type ProgressOptions,
  startProgress,
} from '../src/show/progress.js';
export { type Frame, formatValue, type TableOptions } from '../src/show/table.js';
export * from './acceleration/acceleration-table.js';
export * from './acceleration/measure.js';
export { referenceInverse } from './acceleration/reference.js';
export * from './acceleration/solver-study.js';
export * from './charts/builders.js';
export { type ChartSpec, type ChartTitle, renderChart, showChart } from './charts/chart.js';
export * from './charts/maps.js';
export * from './charts/training-curves.js';
export { check, type Expectation, WrongAnswer } from './course/check.js';
export { type Slider, showSlider } from './course/slider.js';
export { heldOutNames } from './data/emoji-names.js';
export * from './experiments/index.js';
export * from './measures/caption-agreement.js';
export * from './measures/class-judge.js';
export * from './measures/comparison.js';
export * from './measures/convergence.js';
export * from './measures/correlation.js';
export * from './measures/distribution.js';
export * from './measures/error-measures.js';
export * from './measures/hidden-tokens.js';
export * from './measures/jacobian.js';
export * from './measures/loss-convergence.js';
export * from './measures/nearest-images.js';
export * from './measures/train-classifier.js';
export * from './notebook/dataset-images.js';
export * from './notebook/fashion-judge.js';
export * from './notebook/fetch-data.js';
export * from './notebook/image-rows.js';
export * from './notebook/models.js';
export * from './notebook/numbers-in-text.js';
export { peerSamples } from './notebook/peer-samples.js';
export * from './notebook/published-rows.js';
export { showTable } from './notebook/tables.js';
export * from './notebook/timing.js';
export {
  type FigureName,
  type MeasurementId,
  type PublishedFigure,
  publishedFigure,
} from './papers/index.js';
export * from './peers/index.js';
export * from './records/accelerations.js';
export { readBenchmarks } from './records/benchmarks.js';
export {
  type ClaimDetails,
  type Figures,
  type FiguresOf,
  figuresOf,
  type RecordedClaim,
  type ResultRow,
  readClaim,
  recordClaim,
  resultsTable,
} from './records/claim.js';
export * from './records/frames.js';
export type { Acceleration, AccelerationRow } from './records/record.js';
export {
  quick,
  resultFile,
  resultsFolder,
  resultToRead,
} from './records/results-folder.js';
export * from './records/table.js';
export {
  type CommittedRun,
  commitLosses,
  commitRun,
  commitSnapshot,
  committedCheckpoint,
  readCommittedRun,
} from './records/training-run.js';
export { verdictTable } from './report/results.js';
export { measureBits } from './reproduction/peer-measures.js';
