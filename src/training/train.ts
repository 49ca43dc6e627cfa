import { UserError } from '../backend/errors.js';
import type { Mode } from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import { leaves, type Tree } from '../backend/tree.js';
import type { ImageDataset } from '../data/index.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import { beginRun, saveRun } from './begin.js';
import type { CheckpointDetails } from './checkpoint.js';
import { checkRun } from './checks.js';
import { batchSource, type Share } from './feeds.js';
import { takeStep, validate } from './measure.js';
import { biasCorrections } from './optimiser/adamw.js';
import { learningRate } from './optimiser/schedule.js';
import type { MeanOverProcesses, TrainingProgram } from './program.js';
import type { StepRecord } from './record.js';
import type { StartingPoint } from './run-folder.js';
import { checkSettings, type TrainingSettings } from './settings.js';
import { modelOfState } from './state.js';
import { type Template, templateOf } from './template.js';

export interface TrainingRun<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  family: Family<C, P>;
  config: C;
  settings: TrainingSettings;
  data: ImageDataset;
  /** Held-out images for validation; none are measured where it is absent. */
  validation?: ImageDataset;
  /** Where the log, the states and the checkpoint go; none keeps nothing. */
  folder?: string;
  /** True to go on with the run in the folder; `'replanned'` also under another plan. */
  resume?: boolean | 'replanned';
  /** Goes into the checkpoint. */
  experiment?: string;
  /**
   * A model to begin with, in the place of a fresh one; moments and schedule begin anew. A run that
   * is resumed has its own.
   */
  from?: StartingPoint & { model: Model<C, P> };
  /**
   * How a step runs. Default: as the run in the folder did; for a new one on the native engine as one
   * captured graph, which XLA compiles where the model is small and the run long (that takes some
   * seconds, and up to two thirds of a step's time away); else op by op.
   */
  mode?: Mode;
  /** Present where several processes train the model together. All are given the same run. */
  parallel?: Parallel;
  /** Called before the first step, which may take long, with the steps that are done already. */
  onBegin?: (begun: { step: number; mode: Mode }) => void | Promise<void>;
  onStep?: (record: StepRecord) => void | Promise<void>;
  /** Stops the run after the current step: its state is saved, and it can be resumed. */
  signal?: AbortSignal;
}

/** Which of several processes this one is: it takes its share of each batch. */
export interface Parallel extends Share {
  /** Called after each gradient, which all processes then apply. */
  mean: MeanOverProcesses;
}

export interface TrainingResult<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  /** The trained model; the caller frees its tensors. */
  model: Model<C, P>;
  details: CheckpointDetails;
  records: StepRecord[];
  /** False where the signal stopped the run before its last step. */
  finished: boolean;
}

/**
 * Trains a model by the objectives of its family: AdamW, warm-up and cosine (TarFlow, section 4.1).
 * The same run gives the same numbers, also when it is stopped and resumed: all randomness comes
 * from the seed, the epoch and the samples. (Another mode, and under XLA another number of threads,
 * rounds otherwise.)
 *
 * @throws UserError for settings, data or a folder that do not fit, and for a loss or gradient that
 *   is not finite (the last saved state stays)
 */
export async function train<C extends ModelConfig, P extends Tree>(
  run: TrainingRun<C, P>,
): Promise<TrainingResult<C, P>> {
  const { data, validation, signal } = run;
  const settings = checkSettings(run.settings);
  const template = templateOf(run.family, run.family.check(run.config));
  const objectives = template.tasks.map(({ objective }) => objective);
  const plan = { config: template.config, objectives, settings, data };
  await checkRun(run, plan);
  const { folder, mode, program, records, ...begun } = await beginRun(
    run,
    template,
    settings,
    plan,
  );

  let { step } = begun;
  let savedStep = step;
  const details = () => detailsOf(run, settings, begun.stepsBehind + step);
  const save = async (): Promise<void> => {
    if (!folder) return;
    await saveRun(folder, program, template, step, details());
    savedStep = step;
  };
  const checkFinite = (what: string, value: number): void => {
    if (Number.isFinite(value)) return;
    const kept =
      folder && savedStep > 0 ? `${folder.folder} keeps the state of step ${savedStep}. ` : '';
    throw new UserError(
      `${what} is ${value}`,
      `${kept}Begin a new run with a lower peakLearningRate, or with more warmupSteps`,
    );
  };

  const batches = batchSource(plan, step, settings.steps, run.parallel);
  try {
    await run.onBegin?.({ step, mode });
    while (step < settings.steps && !signal?.aborted) {
      const started = performance.now();
      const batch = await batches.next();
      const made = performance.now();
      const rates = ratesOf(settings, step);
      const measured = await takeStep(program, template, batch, rates);
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
        imagesPerSecond: settings.batchSize / ((ended - started) / 1000),
        dataShare: (made - started) / (ended - started),
      };
      if (validation && isDue(settings.validateEvery, step, settings)) {
        const held = { ...plan, data: validation };
        record.validation = await validate(program, template, held, settings.validationImages);
        checkFinite(`The validation loss after step ${step}`, record.validation.loss);
      }
      records.push(record);
      await folder?.append(record);
      if (isDue(settings.saveEvery, step, settings)) await save();
      await run.onStep?.(record);
      // Let timers and signals run.
      await new Promise(setImmediate);
    }
    if (signal?.aborted && step < settings.steps) await save();
    return {
      model: currentModel(program, template),
      details: details(),
      records,
      finished: step >= settings.steps,
    };
  } finally {
    await batches.close();
    program.dispose();
  }
}

/** What a checkpoint says of the run that made it. */
function detailsOf<C extends ModelConfig, P extends Tree>(
  { experiment, config, data }: TrainingRun<C, P>,
  { noise, seed }: TrainingSettings,
  steps: number,
): CheckpointDetails {
  return {
    ...(experiment !== undefined && { experiment }),
    ...(noise.kind !== 'none' && { noise }),
    dataset: data.name,
    ...(config.classes > 0 && { classNames: data.classes }),
    seed,
    steps,
  };
}

function isDue(every: number, step: number, { steps }: TrainingSettings): boolean {
  return step % every === 0 || step === steps;
}

/** The rates of the step after `step` ones. */
function ratesOf(
  { peakLearningRate: peak, warmupSteps: warmup, steps }: TrainingSettings,
  step: number,
) {
  const { first, second } = biasCorrections(step + 1);
  return {
    learningRate: learningRate({ peak, warmup, steps }, step),
    firstCorrection: first,
    secondCorrection: second,
  };
}

/** The model as it is now, whose tensors the caller frees. */
function currentModel<C extends ModelConfig, P extends Tree>(
  program: TrainingProgram,
  template: Template<C, P>,
): Model<C, P> {
  const state = program.read();
  const model = modelOfState(template, state);
  const kept = new Set(Object.values({ ...leaves(model.parameters), ...model.buffers }));
  tf.dispose(Object.values(state).filter((tensor) => !kept.has(tensor)));
  return model;
}
