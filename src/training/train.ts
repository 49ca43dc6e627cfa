import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';
import { leaves, type Tree } from '../backend/tree.js';
import type { Model, ModelConfig } from '../flow/model.js';
import { type BegunRun, beginRun, saveRun } from './begin.js';
import type { CheckpointDetails } from './checkpoint.js';
import { checkRun } from './checks.js';
import { type BatchPlan, batchSource } from './batches/index.js';
import { takeStep, validate } from './measure.js';
import { biasCorrections } from './optimiser/adamw.js';
import { learningRate } from './optimiser/schedule.js';
import type { TrainingProgram } from './program.js';
import type { StepRecord } from './record.js';
import { RunFolder } from './run-folder.js';
import { checkSettings, type TrainingSettings } from './settings.js';
import { modelOfState } from './state.js';
import { type Template, templateOf } from './template.js';
import type { TrainingResult, TrainingRun } from './training-run.js';

export type { Parallel, TrainingResult, TrainingRun } from './training-run.js';

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
  const { data } = run;
  const settings = checkSettings(run.settings);
  const template = templateOf(run.family, run.family.check(run.config));
  const objectives = template.tasks.map(({ objective }) => objective);
  const plan = { config: template.config, objectives, settings, data };
  await checkRun(run, plan);
  const folder = run.folder === undefined ? undefined : new RunFolder(run.folder);
  try {
    const begun = await beginRun(folder, run, template, settings, plan);
    return await trainFrom(begun, run, template, { ...plan, settings });
  } finally {
    await folder?.close();
  }
}

/** Takes the steps that are left of a run. */
async function trainFrom<C extends ModelConfig, P extends Tree>(
  { folder, mode, program, records, ...begun }: BegunRun,
  run: TrainingRun<C, P>,
  template: Template<C, P>,
  plan: BatchPlan & { settings: TrainingSettings },
): Promise<TrainingResult<C, P>> {
  const { data, validation, signal } = run;
  const { settings } = plan;

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
    if (step > 0 && !begun.checkpointed) await save();
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
