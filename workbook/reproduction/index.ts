/** Rows of the papers' tables made anew: what they take, trained or read, measured. */

export {
  type CostPlan,
  costText,
  modelCost,
  type RowCost,
  rowCost,
  trainingOperations,
} from './cost.js';
export {
  imagesOfLatents,
  openDecoder,
  openSplits,
  type Splits,
} from './data.js';
export { comparesSamples, isTime } from './measurable.js';
export type { LatentDecoder, ReproduceOptions, SharedStatistics } from './options.js';
export {
  type LeftOut,
  modelsLatents,
  type PlannedRow,
  plannedRows,
  type Recipe,
  recipesOf,
  type Scale,
  scales,
  tableNames,
} from './recipe.js';
export { readRows, reproduceRow, writeRow } from './row.js';
export { checkRecipe, experimentOf, isTrained, noiseWidths, threadsOfBegun } from './trainings.js';
