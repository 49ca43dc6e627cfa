/** tarflow: transformer autoregressive flows. This file is the public surface, nothing else. */
export * from './backend/index.js';
export {
  datasetNames,
  type ImageDataset,
  imagesTensor,
  labelBatch,
  loadDataset,
  pixelBatch,
  toUnitRange,
} from './data/index.js';
export * from './evaluation/index.js';
export {
  type Experiment,
  experiments,
  findExperiment,
  noiseExperiment,
  withOverrides,
} from './experiments/index.js';
export * from './flow/index.js';
export * from './sampling/index.js';
export * from './training/index.js';
export * from './workbook/index.js';
