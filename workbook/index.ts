/** What a notebook cell calls. In plain Node.js the same functions print text and write files. */

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
export {
  type Acceleration,
  type AccelerationOptions,
  type AccelerationRow,
  accelerationStrategies,
  measureAcceleration,
  strategyRow,
} from './acceleration/acceleration.js';
export {
  accelerationFigures,
  loopFigures,
  paperSizeFigures,
} from './acceleration/acceleration-figures.js';
export { type BreakEven, breakEven, breakEvenOf } from './acceleration/break-even.js';
export {
  type AccelerationRecord,
  type AccelerationRun,
  accelerationRuns,
  type LoopTime,
  type LoopTimes,
  measureAccelerations,
  outdatedTables,
  type PaperSize,
  planIterates,
  type RecordedTable,
  readAccelerations,
  readLoopTimes,
  readPaperSize,
  wideRuns,
} from './acceleration/recorded.js';
export {
  imagesForStatistics,
  planText,
  showAcceleration,
  statisticsInSeeds,
} from './acceleration-table.js';
export {
  type ChartSpec,
  renderChart,
  saveChart,
  showChart,
} from './chart.js';
export {
  barChart,
  heatMap,
  layered,
  levelLine,
  lineChart,
  type PublishedLine,
  type Row,
  scatterChart,
  sideBySide,
} from './chart-types.js';
export {
  type ClaimDetails,
  type RecordedClaim,
  type RecordedFigure,
  type ResultRow,
  readClaim,
  recordClaim,
  resultsTable,
} from './claims.js';
export {
  type CommittedRun,
  commitRun,
  commitSnapshot,
  committedCheckpoint,
  readCommittedRun,
} from './committed-run.js';
export {
  type CommittedTable,
  convergenceSummary,
  readCommittedTable,
  type TableFigure,
} from './committed-table.js';
export { costSince, cpuSecondsSince, leastSeconds } from './cost.js';
export { experiments, findExperiment, noiseExperiment } from './experiments/index.js';
export { fashionClassifier } from './fashion-classifier.js';
export { type Figures, figuresOf } from './figures.js';
export { type ImageRow, showImageRows } from './image-rows.js';
export { type LiveGrid, liveGrid } from './live-grid.js';
export {
  type LiveTraining,
  type LiveTrainingOptions,
  liveTraining,
  type TrainingRecord,
} from './live-training.js';
export { noisyTensor } from './noisy-tensor.js';
export type { PublishedFigure } from './papers/paper.js';
export { publishedFigure, publishedScale } from './published-figure.js';
export { type PublishedRow, publishedRows, showPublished } from './published-rows.js';
export { quick, training } from './quick.js';
export { resultFile, resultsFolder, resultToRead } from './results-folder.js';
export { type RunCurves, runCurves, showRunCurves } from './run-curves.js';
export {
  continueSampling,
  type StrategyOutcome,
  sampleOtherSeed,
  timeStrategies,
} from './solver-study.js';
export {
  blockName,
  disposeSubject,
  loadSubject,
  passageOf,
  type Subject,
  samplesBehind,
} from './subject.js';
export { type TestImagesRequest, testImages } from './test-images.js';
export { trainForResults } from './train-for-results.js';
export { matrixChart, reliabilityChart } from './views/classifier-charts.js';
export { type IntervalRow, intervalChart, stripChart } from './views/distributions.js';
export { patchMap, patchOrderChart } from './views/patch-charts.js';
export {
  densityMap,
  gridPoints,
  type Point,
  type PointMapOptions,
  pointMap,
  pointsOf,
} from './views/plane.js';
export { referenceLine } from './views/reference-line.js';
export {
  blockTimeChart,
  frontChart,
  type SegmentCost,
  segmentChart,
} from './views/solver-charts.js';
export { breakEvenChart, type SpeedUp, speedUpChart } from './views/speed-up-charts.js';
export { type MatrixMap, matrixMap } from './views/token-matrix.js';
export { listed, percent, span, twoDigits, verdict } from './words.js';
