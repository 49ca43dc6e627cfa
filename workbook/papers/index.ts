/** The papers' tables and claims as data, and what the notebooks measure of them. */
export { type Expectation, expectations } from './experiments.js';
export { measurements } from './measurements/index.js';
export { type MeasuredFigure, type Measurement, placeText } from './measurements/measurement.js';
export { type Measure, type MeasureName, measures } from './measures.js';
export type {
  Claim,
  LatentsOf,
  OurReference,
  Paper,
  PaperSampling,
  PaperScale,
  PublishedFigure,
  PublishedReference,
  Row,
  Sentence,
  Source,
  Table,
  Verdict,
} from './paper.js';
export { papers, tableOf } from './tables.js';
export {
  type Agreement,
  allowedDifference,
  type ComputedIn,
  type Tolerances,
  tolerancesOf,
} from './tolerances.js';
export { type TrainingSet, trainingSetOf, trainingSets } from './training-sets.js';
