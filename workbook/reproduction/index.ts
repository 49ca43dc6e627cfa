/** Rows of the papers' tables made anew: what they take, trained or read, measured. */

export type { LatentDecoder, SharedStatistics, Splits } from './bench.js';
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
export {
  checkRecipe,
  experimentOf,
  imagesOfLatents,
  isTrained,
  noiseWidths,
  openDecoder,
  openSplits,
  type RowFigure,
  type RowResult,
  reproduceRow,
  threadsOfBegun,
} from './reproduce.js';
export type { ReproduceOptions } from './reproduce-options.js';
export { modelCost, type RowCost, rowCost } from './row-cost.js';
export { type ReproducedTable, readRows, writeRow } from './table-file.js';
export { comparesSamples, type Figure, isTime } from './taken-figures.js';
export { pixelNetwork, tinyData, tinyDecoder, tinyExperiment } from './tiny.js';
export { type CostPlan, costText, type ToldCost, toldCost } from './told-cost.js';
