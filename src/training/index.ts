/**
 * The loop, objectives, batches, AdamW, schedule, run folders.
 *
 * @example
 * ```ts
 * import { learningRate } from 'tarflow/training';
 *
 * const schedule = { peak: 1e-3, warmup: 100, steps: 1000 };
 * console.log([1, 100, 1000].map((step) => learningRate(schedule, step)));
 * ```
 *
 * @module tarflow/training
 */

export { type Noise, noisyImages } from './batches/index.js';
export { type CheckpointDetails, type StoredPrecision, saveCheckpoint } from './checkpoint.js';
export { type AdamWOptions, adamWInit, adamWUpdate, biasCorrections } from './optimiser/adamw.js';
export { learningRate } from './optimiser/schedule.js';
export type { LikelihoodRecord, StepRecord, Validation } from './record.js';
export type { NamedData, RunDescription } from './run-description.js';
export { RunFolder } from './run-folder.js';
export { type TrainingSettings, usualSettings } from './settings.js';
export type { LoadedStartingPoint } from './state.js';
export { type TrainingResult, type TrainingRun, train } from './train.js';
