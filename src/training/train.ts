import type { Conditioned } from '../conditions/given.js';
import { UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import { leaves, type Tree } from '../core/tree.js';
import type { Model, ModelConfig } from '../flow/model.js';
import { batchSource } from './batches/index.js';
import { beginRun } from './begin.js';
import { type CheckpointDetails, saveCheckpoint } from './checkpoint.js';
import { checkedPlan } from './checks.js';
import { takeStep, validate } from './measure.js';
import { averageShare, biasCorrections } from './optimiser/adamw.js';
import { learningRate } from './optimiser/schedule.js';
import type { TrainingProgram } from './program.js';
import type { StepRecord } from './record.js';
import { RunFolder } from './run-folder.js';
import type { TrainingSettings } from './settings.js';
import { modelOfState } from './state.js';
import { type RateValues, stepOptions } from './step.js';
import type { Template } from './template.js';
import type { CheckedRun, TrainingResult, TrainingRun } from './training-run.js';

export type { Parallel, TrainingResult, TrainingRun } from './training-run.js';

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
 * import { findExperiment, loadDataset, startEngine, tarflow, train, withOverrides } from 'tarflow';
 *
 * await startEngine();
 * const quick = ['steps=2', 'batchSize=8', 'channels=20', 'blocks=2'];
 * const { config, settings } = withOverrides(findExperiment('fashion-mnist-noise'), quick);
 * const data = await loadDataset('fashion-mnist', 'train');
 * const { records } = await train({ family: tarflow, config, settings, data, mode: 'eager' });
 * console.log(records.map(({ loss }) => loss));
 * ```
 */
export async function train<C extends ModelConfig, P extends Tree>(
  run: TrainingRun<C, P>,
): Promise<TrainingResult<C, P>> {
  const checked = await checkedPlan(run);
  const folder = run.folder === undefined ? undefined : new RunFolder(run.folder);
  try {
    return await trainInto(folder, { ...run, ...checked });
  } finally {
    await folder?.close();
  }
}

async function trainInto<C extends ModelConfig, P extends Tree>(
  folder: RunFolder | undefined,
  run: CheckedRun<C, P>,
): Promise<TrainingResult<C, P>> {
  const { settings, template, plan, data, validation, signal } = run;
  const { program, mode, records, saved, stepsBehind, stepsOfMean } = await beginRun(folder, run);
  let step = saved?.step ?? 0;
  let savedStep = step;
  const details = (): CheckpointDetails => detailsOf(run, stepsBehind + step);
  const save = async (): Promise<void> => {
    if (folder) await saveStep(folder, step, program, template, details());
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
    // A save that was cut short left a state without its checkpoint.
    if (saved && !saved.checkpointed) await save();
    await run.onBegin?.({ step, mode });
    while (step < settings.steps && !signal?.aborted) {
      const begun = performance.now();
      const batch = await batches.next();
      const made = performance.now();
      const rates = ratesOf(settings, step, stepsOfMean);
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
        imagesPerSecond: settings.batchSize / ((ended - begun) / 1000),
        dataShare: (made - begun) / (ended - begun),
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
    const model = currentModel(program, template);
    return { model, details: details(), records, finished: step >= settings.steps };
  } finally {
    await batches.close();
    program.dispose();
  }
}

function isDue(every: number, step: number, { steps }: TrainingSettings): boolean {
  return step % every === 0 || step === steps;
}

/** The rates of the step after `step` ones, where the mean was over some steps before all of them. */
function ratesOf(settings: TrainingSettings, step: number, stepsOfMean: number): RateValues {
  const { peakLearningRate: peak, warmupSteps: warmup, holdSteps: hold, steps } = settings;
  const { averageDecay: decay } = settings;
  const { first, second } = biasCorrections(step + 1, stepOptions(settings));
  return {
    learningRate: learningRate({ peak, warmup, hold, steps }, step),
    firstCorrection: first,
    secondCorrection: second,
    ...(decay > 0 && { averageShare: averageShare(decay, stepsOfMean + step + 1) }),
  };
}

/** What a checkpoint says of the run that made it. */
function detailsOf<C extends ModelConfig, P extends Tree>(
  { experiment, template, data, settings: { noise, seed } }: CheckedRun<C, P>,
  steps: number,
): CheckpointDetails {
  const { classes, text }: Conditioned = template.config;
  return {
    ...(experiment !== undefined && { experiment }),
    ...(noise.kind !== 'none' && { noise }),
    ...{ dataset: data.name, split: data.split },
    ...(classes > 0 && { classNames: data.classes }),
    ...(text && data.text?.encoder && { textEncoder: data.text.encoder }),
    ...(data.latents && { latents: data.latents }),
    seed,
    steps,
  };
}

/** Saves a step in the run's folder: the state, and the model for everyone. */
async function saveStep<C extends ModelConfig, P extends Tree>(
  folder: RunFolder,
  step: number,
  program: TrainingProgram,
  template: Template<C, P>,
  details: CheckpointDetails,
): Promise<void> {
  const state = program.read();
  try {
    const model = modelOfState(template, state);
    await folder.save(step, state, (file, steps) =>
      saveCheckpoint(model, file, { ...details, steps }),
    );
  } finally {
    tf.dispose(state);
  }
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
