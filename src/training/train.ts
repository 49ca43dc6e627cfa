import { UserError } from '../backend/errors.js';
import type { Mode } from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import { disposeTree, type Leaves, mapTree } from '../backend/tree.js';
import type { DataSource } from '../data/index.js';
import { checkImageSize, disposeModel, halfLog2Pi } from '../flow/flow.js';
import type { Feeds, ModelConfig } from '../flow/model.js';
import { checkConfig, type TarFlowConfig } from '../models/tarflow/config.js';
import { createTarFlow, type TarFlow, tarflow } from '../models/tarflow/index.js';
import { biasCorrections } from './adamw.js';
import { type BatchPlan, batchSource, heldOutBatch } from './batches/index.js';
import { type CheckpointDetails, saveCheckpoint } from './checkpoint.js';
import { usualMode } from './mode.js';
import { type TrainingProgram, trainingProgram } from './program.js';
import type { StartingPoint } from './run-description.js';
import { RunFolder, type StepRecord, type Validation } from './run-folder.js';
import { learningRate } from './schedule.js';
import { checkSettings, type TrainingSettings } from './settings.js';
import { beginningState, type LoadedStartingPoint } from './starting-point.js';
import { flowOfState, initialState, type StepOptions, unpackedState } from './step.js';

export interface TrainingRun {
  config: TarFlowConfig;
  settings: TrainingSettings;
  data: DataSource;
  /** Held-out images for validation. */
  validation: DataSource;
  /** Where the log, the states and the checkpoint go; none keeps nothing. */
  folder?: string;
  /** True to go on with the run in the folder; `'replanned'` also under another plan. */
  resume?: boolean | 'replanned';
  /** Goes into the checkpoint. */
  experiment?: string;
  /**
   * What to begin with, in the place of fresh parameters (`readStartingPoint`); moments and schedule
   * begin anew. A run that is resumed has its own.
   */
  from?: LoadedStartingPoint;
  /**
   * How a step runs. Default: as the run in the folder did; for a new one on the native engine as one
   * captured graph, which XLA compiles where the model is small and the run long (that takes some
   * seconds, and up to two thirds of a step's time away); else op by op.
   */
  mode?: Mode;
  /** Called before the first step, which may take long, with the steps that are done already. */
  onBegin?: (begun: { step: number; mode: Mode }) => void | Promise<void>;
  onStep?: (record: StepRecord) => void | Promise<void>;
  /** Stops the run after the current step: its state is saved, and it can be resumed. */
  signal?: AbortSignal;
}

export interface TrainingResult {
  /** The trained flow; the caller frees it with `disposeModel`. */
  flow: TarFlow;
  details: CheckpointDetails;
  records: StepRecord[];
  /** False where the signal stopped the run before its last step. */
  finished: boolean;
}

/**
 * Trains a flow (TarFlow, section 4.1): noisy images, exact likelihood, AdamW, warm-up and cosine.
 * The same run gives the same numbers, also when it is stopped and resumed: all randomness comes
 * from the seed and the number of the step. (Another mode, and under XLA another number of threads,
 * rounds otherwise.)
 *
 * @throws UserError for settings, data or a folder that do not fit, and for a loss or gradient that
 *   is not finite (the last saved state stays)
 */
export async function train(run: TrainingRun): Promise<TrainingResult> {
  const config = checkConfig(run.config);
  const settings = checkSettings(run.settings);
  checkData(config, run.data, settings);
  if (run.from) checkSameConfig(run.from.config, config);
  const folder = run.folder === undefined ? undefined : new RunFolder(run.folder);
  try {
    return await trainInto(folder, { ...run, config, settings });
  } finally {
    await folder?.close();
  }
}

async function trainInto(folder: RunFolder | undefined, run: TrainingRun): Promise<TrainingResult> {
  const { config, settings, data, signal } = run;
  const { config: _, state: startingState, ...given } = run.from ?? {};
  const description = {
    experiment: run.experiment,
    data: data.name,
    config,
    settings,
    ...(run.from && { from: given as StartingPoint }),
  };
  const modes = { asked: run.mode, usual: usualMode(config, settings) };
  const opened = await folder?.open(description, run.resume ?? false, modes);
  const mode = opened?.mode ?? modes.asked ?? modes.usual;
  const resumed = opened?.saved;
  const from = opened?.from ?? description.from;
  if (from && !resumed && !startingState) {
    throw new UserError(
      `The run in ${folder?.folder} began with ${from.checkpoint} and was stopped before it saved`,
      'Name that checkpoint again (--from)',
    );
  }
  const records = resumed ? ((await folder?.records()) ?? []) : [];

  const template = createTarFlow(config, settings.seed);
  let state = resumed?.state;
  let program: TrainingProgram;
  try {
    if (!state) {
      const fresh = initialState(template, stepOptions(settings));
      state = startingState ? beginningState(fresh, startingState) : fresh;
    }
    program = trainingProgram(template, state, {
      batchSize: settings.batchSize,
      heldOut: validationBatch(run),
      step: stepOptions(settings),
      mode,
      precision: settings.precision,
    });
  } catch (error) {
    disposeModel(template);
    if (!run.resume) await folder?.abandon();
    throw error;
  } finally {
    if (state) disposeTree(state);
  }
  const details: CheckpointDetails = {
    ...(run.experiment !== undefined && { experiment: run.experiment }),
    noise: settings.noise,
    dataset: data.name,
    ...(config.classes > 0 && { classNames: data.classes }),
    seed: settings.seed,
  };

  const stepsPerEpoch = Math.floor(data.length / settings.batchSize);
  let step = resumed?.step ?? 0;
  let savedStep = step;
  const stepsBehind = (): number => (from?.steps ?? 0) + step;
  const save = async (): Promise<void> => {
    if (!folder) return;
    const current = readState(program, template);
    try {
      await folder.save(step, current, (file, steps) =>
        saveCheckpoint(flowOfState(template, current), file, { ...details, steps }),
      );
      savedStep = step;
    } finally {
      tf.dispose(current);
    }
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

  const batches = batchSource(batchPlan(run, data), step, settings.steps);
  try {
    if (resumed && !resumed.checkpointed) await save();
    await run.onBegin?.({ step, mode });
    while (step < settings.steps && !signal?.aborted) {
      const begun = performance.now();
      const { likelihood: batch } = await batches.next();
      const made = performance.now();

      const rate = learningRate(
        { peak: settings.peakLearningRate, warmup: settings.warmupSteps, steps: settings.steps },
        step,
      );
      const corrections = biasCorrections(step + 1);
      const measured = hostNumbers(
        program.run.train({
          ...batch,
          learningRate: rate,
          firstCorrection: corrections.first,
          secondCorrection: corrections.second,
        }),
      );
      step++;
      checkFinite(`The loss of step ${step}`, measured.loss[0] as number);
      // A loss can be finite where its gradient is not, and the state is spoilt from here on.
      checkFinite(`The gradient's norm at step ${step}`, measured.gradientNorm[0] as number);

      const ended = performance.now();
      const record: StepRecord = {
        step,
        epoch: step / stepsPerEpoch,
        loss: measured.loss[0] as number,
        prior: measured.prior[0] as number,
        logDet: measured.logDet[0] as number,
        meanSquares: measured.meanSquares,
        gradientNorm: measured.gradientNorm[0] as number,
        learningRate: rate,
        imagesPerSecond: settings.batchSize / ((ended - begun) / 1000),
        dataShare: (made - begun) / (ended - begun),
      };
      if (step % settings.validateEvery === 0 || step === settings.steps) {
        record.validation = await validate(program, run);
        checkFinite(`The validation loss after step ${step}`, record.validation.loss);
      }
      records.push(record);
      await folder?.append(record);
      if (step % settings.saveEvery === 0 || step === settings.steps) await save();
      await run.onStep?.(record);
      // Let timers and signals run.
      await new Promise(setImmediate);
    }
    if (signal?.aborted && step < settings.steps) await save();
    const final = readState(program, template);
    const flow = copyFlow(flowOfState(template, final));
    tf.dispose(final);
    return {
      flow,
      details: { ...details, steps: stepsBehind() },
      records,
      finished: step >= settings.steps,
    };
  } finally {
    await batches.close();
    program.dispose();
    disposeModel(template);
  }
}

/** The program's state with a tensor for each parameter; the caller frees it. */
function readState(program: TrainingProgram, template: TarFlow): Leaves {
  const held = program.read();
  try {
    return unpackedState(template, held);
  } finally {
    tf.dispose(held);
  }
}

function stepOptions({ weightDecay, clipNorm, averageDecay }: TrainingSettings): StepOptions {
  return {
    weightDecay,
    ...(clipNorm > 0 && { clipNorm }),
    ...(averageDecay > 0 && { averageDecay }),
  };
}

/** What the batches of a data set are made of. */
function batchPlan({ config, settings }: TrainingRun, data: DataSource): BatchPlan {
  return { config, objectives: tarflow.objectives(config), settings, data };
}

function validationBatch({ settings, validation }: TrainingRun): number {
  return Math.min(settings.batchSize, validation.length);
}

/**
 * The loss on the first held-out images, in whole batches; a conditional model is told the labels.
 */
async function validate(program: TrainingProgram, run: TrainingRun): Promise<Validation> {
  const { settings, validation } = run;
  const size = validationBatch(run);
  const images = Math.min(settings.validationImages, validation.length);
  const batches = Math.max(1, Math.floor(images / size));
  let sum = 0;
  for (let batch = 0; batch < batches; batch++) {
    const indices = Int32Array.from({ length: size }, (_, i) => batch * size + i);
    const { likelihood } = await heldOutBatch(batchPlan(run, validation), indices);
    const { loss } = hostNumbers(program.run.evaluate(likelihood as Feeds));
    sum += loss[0] as number;
  }
  const loss = sum / batches;
  if (settings.noise.kind !== 'uniform') return { loss };
  return { loss, bitsPerDimension: (loss + halfLog2Pi + Math.log(128)) / Math.LN2 };
}

/** Reads and frees named tensors. */
function hostNumbers<T extends Record<string, tf.Tensor>>(outputs: T): Record<keyof T, number[]> {
  const numbers = Object.fromEntries(
    Object.entries(outputs).map(([name, tensor]) => [name, Array.from(tensor.dataSync())]),
  ) as Record<keyof T, number[]>;
  tf.dispose(outputs);
  return numbers;
}

/** A flow with tensors of its own. */
function copyFlow(flow: TarFlow): TarFlow {
  return {
    ...flow,
    parameters: mapTree(flow.parameters, (leaf) => leaf.clone()),
    buffers: mapTree(flow.buffers, (leaf) => leaf.clone()),
  };
}

function checkSameConfig(came: ModelConfig, expected: ModelConfig): void {
  const keys = Object.keys({ ...came, ...expected }) as (keyof ModelConfig)[];
  const other = keys.find((key) => JSON.stringify(came[key]) !== JSON.stringify(expected[key]));
  if (other === undefined) return;
  throw new UserError(
    `The checkpoint to begin with has ${other} ${JSON.stringify(came[other] ?? 'none')}, ` +
      `the run ${JSON.stringify(expected[other] ?? 'none')}`,
    'Begin with a checkpoint of the same configuration, or change it with --set',
  );
}

function checkData(config: TarFlowConfig, data: DataSource, settings: TrainingSettings): void {
  if (config.background !== undefined && settings.noise.kind !== 'uniform') {
    throw new UserError(
      `A model that spreads the background came with ${settings.noise.kind} noise`,
      'It reads grey levels with uniform noise: set noise=uniform, or background=none',
    );
  }
  checkImageSize(config, data.image, data.name);
  if (config.classes !== 0 && config.classes !== data.classes.length) {
    throw new UserError(
      `${data.name} has ${data.classes.length} classes and the model ${config.classes}`,
      'Set classes to the same number, or to 0 for an unconditional model',
    );
  }
  if (settings.batchSize > data.length) {
    throw new UserError(
      `A batch of ${settings.batchSize} is larger than ${data.name} (${data.length} images)`,
      'Lower batchSize',
    );
  }
}
