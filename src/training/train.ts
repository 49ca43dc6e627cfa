import type { Mode } from '@tarflow/graph';
import type { Conditioned } from '../conditions/context.js';
import { UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import type { Leaves, Tree } from '../core/tree.js';
import type { DataSource } from '../data/index.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import { batchSource, type Share } from './batches/index.js';
import { type CheckpointDetails, saveCheckpoint } from './checkpoint.js';
import { type CheckedParts, checkRun } from './checks.js';
import { examinedSteps, notFiniteRemedy } from './not-finite.js';
import {
  type MeanOverProcesses,
  type TrainingProgram,
  trainingProgram,
  usualMode,
} from './program.js';
import { heldOutSize, type StepRecord, takeStep, validate } from './record.js';
import type { NamedData, StartingPoint } from './run-description.js';
import { RunFolder } from './run-folder.js';
import { stepsOfCheckpoint } from './saved-state.js';
import type { TrainingSettings } from './settings.js';
import {
  checkState,
  extractModel,
  firstState,
  type LoadedStartingPoint,
  trainedModel,
} from './state.js';
import { ratesOf, stepOptions } from './step.js';

/** What to train, on what, and where to keep it. */
export interface TrainingRun<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  family: Family<C, P>;
  config: C;
  /** What is left out is as in `usualSettings`. */
  settings?: Partial<TrainingSettings>;
  data: DataSource;
  /** Held-out samples for validation. Absent: nothing is validated. */
  validation?: DataSource;
  /** Where the log, the states and the checkpoint go. Absent: nothing is kept. */
  folder?: string;
  /**
   * True to go on with the run in the folder. `'replanned'` also where these settings differ: steps,
   * peakLearningRate, warmupSteps, holdSteps, clipNorm, precision, validateEvery, validationImages,
   * saveEvery and keepEvery. Default false.
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
  /**
   * Say in the error of a loss or gradient that is not finite at what operation, parameter and sample that
   * began. Steps take longer. Not for several processes. Default false.
   */
  examine?: boolean;
  /** Called before the first step, which may take long, with the steps that are done already. */
  onBegin?: (begun: { step: number; mode: Mode }) => void | Promise<void>;
  /**
   * Called after each step with its record: `step`, `loss`, `learningRate`, `imagesPerSecond`, and
   * `validation` where the step was validated. The next step waits for a promise that it returns.
   */
  onStep?: (record: StepRecord) => void | Promise<void>;
  /**
   * Stops the run after the current step, which is no error: the result has `finished: false`. If it has a
   * folder, its state is saved, and the same run with `resume: true` goes on.
   */
  signal?: AbortSignal;
}

/** Which of several processes this one is: it takes its share of each batch. The first one has the folder. */
export interface Parallel extends Share {
  /** Called after each gradient, which all processes then apply. */
  mean: MeanOverProcesses;
  /**
   * What the first process begins with, in all of them: a value that JSON can hold, and tensors with the
   * same names and shapes in all. They are the caller's, as are those that it gave. Absent: all begin alike.
   */
  fromFirst?<T>(value: T, tensors: Leaves): Promise<{ value: T; tensors: Leaves }>;
  /** Does what the others wait for: validation and saving. Absent: just does it. */
  alone?<T>(work: () => Promise<T>): Promise<T>;
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

/**
 * Trains a model by the objectives of its family: AdamW, warm-up and cosine (TarFlow, section 4.1).
 * The same run gives the same numbers, also when it is stopped and resumed: all randomness comes
 * from the seed, the epoch and the samples. (Another mode rounds otherwise, and so does another number
 * of parts that a batch is computed in, which depends on how many threads TensorFlow has.)
 *
 * @throws UserError before `startEngine`, for settings, data or a folder that do not fit, and for a loss
 *   or gradient that is not finite (the last saved state stays)
 *
 * @example
 * ```ts
 * import { loadDataset, startEngine, tarflow, train } from 'tarflow';
 *
 * await startEngine();
 * const data = await loadDataset('fashion-mnist', 'train');
 * const size = { patchSize: 4, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const about = { kind: 'tarflow', image: data.image, classes: 10, volumePreserving: false } as const;
 * const config = { ...about, ...size };
 * const settings = { steps: 2, batchSize: 4 };
 * const stop = new AbortController();
 * const { records, finished } = await train({
 *   ...{ family: tarflow, config, settings, data, mode: 'eager', signal: stop.signal },
 *   onStep({ step, loss }) {
 *     console.log(step, loss);
 *     if (step === 1) stop.abort(); // as a button or a time limit may do
 *   },
 * });
 * console.log(records.length, finished); // 1 false
 * ```
 */
export async function train<C extends ModelConfig, P extends Tree>(
  run: TrainingRun<C, P>,
): Promise<TrainingResult<C, P>> {
  const checked = await checkRun(run);
  const folder = run.folder === undefined ? undefined : new RunFolder(run.folder);
  try {
    return await trainInto(folder, { ...run, ...checked });
  } finally {
    await folder?.close();
  }
}

type CheckedRun<C extends ModelConfig, P extends Tree> = TrainingRun<C, P> & CheckedParts<C, P>;

async function trainInto<C extends ModelConfig, P extends Tree>(
  folder: RunFolder | undefined,
  run: CheckedRun<C, P>,
): Promise<TrainingResult<C, P>> {
  const { settings, spec, batchOptions, data, validation, signal } = run;
  const begun = await begin(folder, run);
  const { program, mode, records, stepsBehind, stepsOfMean } = begun;
  let { step } = begun;
  let savedStep = step;
  const details = (): CheckpointDetails => detailsOf(run, stepsBehind + step);
  const alone = (work: () => Promise<void>) => run.parallel?.alone?.(work) ?? work();
  const withState = async (use: (state: Leaves, model: Model<C, P>) => Promise<void>) => {
    const state = program.read();
    await use(state, trainedModel(spec, state)).finally(() => tf.dispose(state));
  };
  const save = async (): Promise<void> => {
    await withState(async (state, model) => {
      await folder?.save(step, state, (file) => saveCheckpoint(model, file, details()));
    });
    savedStep = step;
  };
  const saveTo = (file: string) => withState((_, model) => saveCheckpoint(model, file, details()));
  // Of several objectives, as a GAN has, the loss does not tell which step is best.
  const keepBest = await keeperOfBest(spec.tasks.length > 1 ? undefined : folder, begun, saveTo);
  const checkFinite = (what: string, value: number): void => {
    if (Number.isFinite(value)) return;
    throw new UserError(`${what} is ${value}`, notFiniteRemedy(run, savedStep));
  };
  const steps = run.examine ? examinedSteps(program, run, () => step) : program;

  const batches = batchSource(batchOptions, step, settings.steps, run.parallel);
  try {
    // A save that was cut short left a state without its checkpoint.
    if (begun.halfSaved) await alone(save);
    await run.onBegin?.({ step, mode });
    while (step < settings.steps && !signal?.aborted) {
      const begun = performance.now();
      const batch = await batches.next();
      const made = performance.now();
      const rates = ratesOf(settings, step, stepsOfMean);
      const measured = await takeStep(steps, spec, batch, rates);
      step++;
      checkFinite(`The loss of step ${step}`, measured.loss);
      // A loss can be finite where its gradient is not, and the state is spoilt from here on.
      checkFinite(`The gradient's norm at step ${step}`, measured.gradientNorm);
      const ended = performance.now();
      const record: StepRecord = {
        step,
        epoch: step / Math.floor(data.length / settings.batchSize),
        ...measured,
        learningRate: rates.learningRate,
        imagesPerSecond: settings.batchSize / ((ended - begun) / 1000),
        dataShare: (made - begun) / (ended - begun),
      };
      const keep = async (): Promise<void> => {
        if (validation && isDue(settings.validateEvery, step, settings)) {
          const heldOut = { ...batchOptions, data: validation };
          record.validation = await validate(program, spec, heldOut, settings.validationImages);
          checkFinite(`The validation loss after step ${step}`, record.validation.loss);
          await keepBest(record.validation.loss);
        }
        records.push(record);
        await folder?.append(record);
        const { saveEvery, keepEvery = saveEvery } = settings;
        const isSaved = isDue(saveEvery, step, settings) || isDue(keepEvery, step, settings);
        if (folder && isSaved) await save();
      };
      await alone(keep);
      await run.onStep?.(record);
      // Let timers and signals run.
      await new Promise(setImmediate);
    }
    if (folder && signal?.aborted && step < settings.steps) await alone(save);
    const model = extractModel(spec, program.read());
    return { model, details: details(), records, finished: step >= settings.steps };
  } finally {
    await batches.close();
    program.dispose();
  }
}

/** Saves the best checkpoint of a folder when a validation loss is less than all before. */
async function keeperOfBest(
  folder: RunFolder | undefined,
  { records, stepsBehind }: BegunRun,
  save: (file: string) => Promise<void>,
): Promise<(loss: number) => Promise<void>> {
  const kept = folder && (await stepsOfCheckpoint(folder.best));
  const held = records.find(({ step }) => stepsBehind + step === kept)?.validation;
  let best = held?.loss ?? Number.POSITIVE_INFINITY;
  return async (loss) => {
    if (!folder || loss >= best) return;
    best = loss;
    await save(folder.best);
  };
}

function isDue(every: number, step: number, { steps }: TrainingSettings): boolean {
  return step % every === 0 || step === steps;
}

/** A run that is ready for its next step. */
interface BegunRun {
  program: TrainingProgram;
  mode: Mode;
  /** Steps that are done already. */
  step: number;
  /** Whether the state of that step is saved without its checkpoint. */
  halfSaved: boolean;
  /** Of the steps that are done already. */
  records: StepRecord[];
  /** Training steps behind what the run began with. */
  stepsBehind: number;
  /** Steps that the mean of the weights was over already where the run began: infinite where that is not known. */
  stepsOfMean: number;
}

/**
 * Begins a run, or meets it in its folder, which then is open.
 * @throws UserError where the folder holds another run, or what it holds is damaged
 */
async function begin<C extends ModelConfig, P extends Tree>(
  folder: RunFolder | undefined,
  run: CheckedRun<C, P>,
): Promise<BegunRun> {
  const { spec, settings, data, validation, parallel } = run;
  const description = {
    experiment: run.experiment,
    data: data.name,
    config: spec.config,
    settings,
    latents: data.latents,
    from: run.from && fileOf(run.from),
  };
  const usual = usualMode(spec, settings);
  const how = {
    ...{ asked: run.mode, usual, split: data.split, named: run.named },
    processes: parallel?.size,
  };
  const opened = await folder?.open(description, run.resume ?? false, how);
  const saved = opened?.saved;
  const own = {
    mode: opened?.mode ?? run.mode ?? usual,
    from: opened?.from ?? description.from,
    step: saved?.step ?? 0,
  };
  const { from } = own;
  if (from && !saved && !run.from) {
    throw new UserError(
      `The run in ${run.folder} began with ${from.checkpoint} and was stopped before it saved`,
      'Give it again as what the run begins with (from, --from)',
    );
  }
  const records = saved ? ((await folder?.records()) ?? []) : [];
  let state: Leaves = {};
  const fixed: Record<string, Leaves> = {};
  try {
    state = saved?.state ?? (await firstState(run));
    checkState(spec, settings.averageDecay > 0, state);
    let { mode, from, step } = own;
    if (parallel?.fromFirst) {
      const given = state;
      const got = await parallel.fromFirst(own, given);
      ({ mode, from, step } = got.value);
      state = got.tensors;
      tf.dispose(given);
    }
    for (const { objective } of spec.tasks) {
      if (objective.fixed) fixed[objective.name] = await objective.fixed(spec.config);
    }
    const program = trainingProgram(spec, state, {
      batchSize: settings.batchSize / (parallel?.size ?? 1),
      heldOut: validation && heldOutSize(settings, validation),
      step: stepOptions(settings),
      mode,
      precision: settings.precision,
      mean: parallel && ((tensors) => parallel.mean(tensors)),
      fixed,
    });
    const stepsBehind = from?.steps ?? 0;
    const stepsOfMean = from && stepsBehind === 0 ? Number.POSITIVE_INFINITY : stepsBehind;
    const halfSaved = saved !== undefined && !saved.checkpointed;
    return { program, mode, step, halfSaved, records, stepsBehind, stepsOfMean };
  } catch (error) {
    if (!run.resume) await folder?.abandon();
    throw error;
  } finally {
    tf.dispose([state, fixed]);
  }
}

/** What a run's folder says of its starting point. */
function fileOf({ checkpoint, sha256, steps }: StartingPoint): StartingPoint {
  return { checkpoint, sha256, steps };
}

/** What a checkpoint says of the run that made it. */
function detailsOf<C extends ModelConfig, P extends Tree>(
  { experiment, spec, data, named, settings: { noise, seed } }: CheckedRun<C, P>,
  steps: number,
): CheckpointDetails {
  const { classes, text }: Conditioned = spec.config;
  return {
    ...(experiment !== undefined && { experiment }),
    ...(noise.kind !== 'none' && { noise }),
    dataset: data.name,
    ...(named && named.data !== data.name && { place: named.data }),
    split: data.split,
    ...(classes > 0 && { classNames: data.classes }),
    ...(text && data.text?.encoder && { textEncoder: data.text.encoder }),
    ...(data.latents && { latents: data.latents }),
    seed,
    steps,
  };
}
