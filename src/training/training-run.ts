import type { Mode } from '@tarflow/graph';
import type { Tree } from '../core/tree.js';
import type { DataSource } from '../data/index.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import type { BatchPlan, Share } from './batches/index.js';
import type { CheckpointDetails } from './checkpoint.js';
import type { MeanOverProcesses } from './program.js';
import type { StepRecord } from './record.js';
import type { NamedData } from './run-description.js';
import type { TrainingSettings } from './settings.js';
import type { LoadedStartingPoint } from './starting-point.js';
import type { Template } from './template.js';

/** What to train, on what, and where to keep it. */
export interface TrainingRun<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  family: Family<C, P>;
  config: C;
  settings: TrainingSettings;
  data: DataSource;
  /** Held-out samples for validation. Absent: nothing is validated. */
  validation?: DataSource;
  /** Where the log, the states and the checkpoint go. Absent: nothing is kept. */
  folder?: string;
  /**
   * True to go on with the run in the folder. `'replanned'` also where these settings differ: steps,
   * peakLearningRate, warmupSteps, holdSteps, clipNorm, precision, validateEvery, validationImages and
   * saveEvery. Default false.
   */
  resume?: boolean | 'replanned';
  /** The experiment's name: goes into the checkpoint and `run.json`. A run is resumed under the same one. */
  experiment?: string;
  /** Goes into the folder's `run.json`, for `tarflow train --resume`. */
  named?: NamedData;
  /**
   * What to begin with instead of fresh parameters, as `readStartingPoint` (`tarflow/models`) reads it;
   * its tensors stay the caller's. The moments of AdamW and the schedule begin anew. A run that is resumed
   * has its own.
   */
  from?: LoadedStartingPoint;
  /**
   * How a step runs. Default: as the run in the folder did; for a new one on the native engine as one
   * captured graph, which XLA compiles where the model is small and the run long (compiling takes some
   * seconds, and saves up to two thirds of a step's time); else op by op.
   */
  mode?: Mode;
  /** Present where several processes train the model together. All are given the same run. */
  parallel?: Parallel;
  /** Called before the first step, which may take long, with the steps that are done already. */
  onBegin?: (begun: { step: number; mode: Mode }) => void | Promise<void>;
  /** Called after each step with its record. */
  onStep?: (record: StepRecord) => void | Promise<void>;
  /** Stops the run after the current step. If it has a folder, its state is saved and it can be resumed. */
  signal?: AbortSignal;
}

/** Which of several processes this one is: it takes its share of each batch. */
export interface Parallel extends Share {
  /** Called after each gradient, which all processes then apply. */
  mean: MeanOverProcesses;
}

/** What a training gives. */
export interface TrainingResult<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  /**
   * The trained model, with the running mean of its parameters where `averageDecay` is above 0; the caller
   * frees its tensors.
   */
  model: Model<C, P>;
  /** What a checkpoint of the model says of its training. */
  details: CheckpointDetails;
  /** One record per step of the run, those before it was resumed included. */
  records: StepRecord[];
  /** False where the signal stopped the run before its last step. */
  finished: boolean;
}

/** A run whose parts are checked. */
export interface CheckedRun<C extends ModelConfig, P extends Tree> extends TrainingRun<C, P> {
  template: Template<C, P>;
  plan: BatchPlan;
}
