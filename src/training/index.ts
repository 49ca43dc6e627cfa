/** `tarflow/training`: noise, AdamW, schedule, the loop, checkpoints. */
export { type AdamWOptions, adamWInit, adamWUpdate, biasCorrections } from './adamw.js';
export {
  type CheckpointDetails,
  type LoadedFlow,
  loadCheckpoint,
  type StoredPrecision,
  saveCheckpoint,
} from './checkpoint.js';
export { type Noise, noisyImages } from './noise.js';
export { RunFolder, type StepRecord, type Validation } from './run-folder.js';
export { learningRate } from './schedule.js';
export type { TrainingSettings } from './settings.js';
export { type TrainingResult, type TrainingRun, train } from './train.js';
