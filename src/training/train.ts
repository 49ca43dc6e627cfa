import { UserError } from '../backend/errors.js';
import { foldIn, type RandomKey, randomKey, uniform } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import { disposeTree, type Leaves, mapTree } from '../backend/tree.js';
import { epochOrder, type ImageDataset, labelBatch, pixelBatch } from '../data/index.js';
import { checkConfig, type FlowConfig } from '../flow/config.js';
import { mixtureRows } from '../flow/labels.js';
import { createFlow, disposeFlow, halfLog2Pi, type TarFlow } from '../flow/tarflow.js';
import { biasCorrections } from './adamw.js';
import { type CheckpointDetails, saveCheckpoint } from './checkpoint.js';
import { noisyImages } from './noise.js';
import { RunFolder, type StepRecord, type Validation } from './run-folder.js';
import { learningRate } from './schedule.js';
import { checkSettings, type TrainingSettings } from './settings.js';
import { evaluationStep, flowOfState, initialState, trainingStep } from './step.js';

export interface TrainingRun {
  config: FlowConfig;
  settings: TrainingSettings;
  data: ImageDataset;
  /** Held-out images for validation. */
  validation: ImageDataset;
  /** Where the log, the states and the checkpoint go; none keeps nothing. */
  folder?: string;
  /** True to go on with the run in the folder. */
  resume?: boolean;
  /** Goes into the checkpoint. */
  experiment?: string;
  onStep?: (record: StepRecord) => void | Promise<void>;
  /** Stops the run after the current step: its state is saved, and it can be resumed. */
  signal?: AbortSignal;
}

export interface TrainingResult {
  /** The trained flow; the caller frees it with `disposeFlow`. */
  flow: TarFlow;
  details: CheckpointDetails;
  records: StepRecord[];
  /** False where the signal stopped the run before its last step. */
  finished: boolean;
}

/**
 * Trains a flow (TarFlow, section 4.1): noisy images, exact likelihood, AdamW, warm-up and cosine.
 * The same run gives the same numbers, also when it is stopped and resumed: all randomness comes
 * from the seed and the number of the step.
 *
 * @throws UserError for settings, data or a folder that do not fit, and for a loss that is not
 *   finite (the last saved state stays)
 */
export async function train(run: TrainingRun): Promise<TrainingResult> {
  const { data, signal } = run;
  const config = checkConfig(run.config);
  const settings = checkSettings(run.settings);
  checkData(config, data, settings);

  const folder = run.folder === undefined ? undefined : new RunFolder(run.folder);
  const description = { experiment: run.experiment, data: data.name, config, settings };
  const resumed = await folder?.open(description, run.resume ?? false);
  const records = resumed ? ((await folder?.records()) ?? []) : [];

  const key = randomKey(settings.seed);
  const template = createFlow(config, settings.seed);
  let state = resumed?.state ?? initialState(template);
  const body = trainingStep(template, { weightDecay: settings.weightDecay });
  const evaluation = evaluationStep(template);
  const details: CheckpointDetails = {
    ...(run.experiment !== undefined && { experiment: run.experiment }),
    noise: settings.noise,
    dataset: data.name,
    ...(config.classes > 0 && { classNames: data.classes }),
    seed: settings.seed,
  };

  const stepsPerEpoch = Math.floor(data.length / settings.batchSize);
  let order: Int32Array | undefined;
  let step = resumed?.step ?? 0;
  const save = async (): Promise<void> => {
    await folder?.saveState(step, state);
    const flow = flowOfState(template, state);
    if (folder) await saveCheckpoint(flow, folder.checkpoint, { ...details, steps: step });
  };

  try {
    while (step < settings.steps && !signal?.aborted) {
      const begun = performance.now();
      const epoch = Math.floor(step / stepsPerEpoch);
      const within = step % stepsPerEpoch;
      if (within === 0 || !order) order = epochOrder(data, key, epoch);
      const indices = order.subarray(
        within * settings.batchSize,
        (within + 1) * settings.batchSize,
      );
      const batch = trainingBatch(run, indices, foldIn(foldIn(key, 'step'), step));
      const made = performance.now();

      const rate = learningRate(
        { peak: settings.peakLearningRate, warmup: settings.warmupSteps, steps: settings.steps },
        step,
      );
      const corrections = biasCorrections(step + 1);
      const result = tf.tidy(() => {
        const { outputs, updates } = body(state, {
          ...batchTensors(config, batch),
          learningRate: tf.scalar(rate),
          firstCorrection: tf.scalar(corrections.first),
          secondCorrection: tf.scalar(corrections.second),
        });
        return { outputs, updates } as never;
      }) as unknown as ReturnType<typeof body>;
      const measured = hostNumbers(result.outputs);
      if (!Number.isFinite(measured.loss[0])) {
        tf.dispose(result.updates);
        throw new UserError(
          `The loss of step ${step + 1} is ${measured.loss[0]}`,
          folder
            ? `The last saved state in ${folder.folder} is sound; resume with a lower peakLearningRate in a new run`
            : 'Lower peakLearningRate, or add warm-up',
        );
      }
      state = replaced(state, result.updates);
      step++;

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
        record.validation = validate(evaluation, state, run, key);
      }
      records.push(record);
      await folder?.append(record);
      if (step % settings.saveEvery === 0 || step === settings.steps) await save();
      await run.onStep?.(record);
      // Let timers and signals run.
      await new Promise(setImmediate);
    }
    if (signal?.aborted && step < settings.steps) await save();
    const flow = copyFlow(flowOfState(template, state));
    return {
      flow,
      details: { ...details, steps: step },
      records,
      finished: step >= settings.steps,
    };
  } finally {
    disposeTree(state);
    disposeFlow(template);
  }
}

/** Numbers of a batch on the host: images with noise, and class mixtures. */
interface Batch {
  images: Float32Array;
  mixtures: Float32Array | undefined;
  size: number;
}

function trainingBatch(run: TrainingRun, indices: Int32Array, key: RandomKey): Batch {
  const { config, data, settings } = run;
  const images = noisyImages(pixelBatch(data, indices), settings.noise, foldIn(key, 'noise'));
  if (config.classes === 0) return { images, mixtures: undefined, size: indices.length };
  const labels = labelBatch(data, indices);
  const draws = uniform(foldIn(key, 'drop label'), labels.length);
  const kept = labels.map((label, i) => ((draws[i] as number) < settings.dropLabel ? -1 : label));
  const mixtures = mixtureRows(kept, kept.length, config.classes);
  return { images, mixtures, size: indices.length };
}

function batchTensors(
  config: FlowConfig,
  batch: Batch,
): { images: tf.Tensor4D; classes?: tf.Tensor2D } {
  const { channels, height, width } = config.image;
  return {
    images: tf.tensor4d(batch.images, [batch.size, channels, height, width]),
    ...(batch.mixtures && {
      classes: tf.tensor2d(batch.mixtures, [batch.size, config.classes]),
    }),
  };
}

/** The loss on held-out images in batches; conditional models are told the labels. */
function validate(
  evaluation: ReturnType<typeof evaluationStep>,
  state: Leaves,
  run: TrainingRun,
  key: RandomKey,
): Validation {
  const { config, settings, validation } = run;
  const count = Math.min(settings.validationImages, validation.length);
  let sum = 0;
  for (let first = 0; first < count; first += settings.batchSize) {
    const size = Math.min(settings.batchSize, count - first);
    const indices = Int32Array.from({ length: size }, (_, i) => first + i);
    const noise = foldIn(foldIn(key, 'validation'), first);
    const images = noisyImages(pixelBatch(validation, indices), settings.noise, noise);
    const mixtures =
      config.classes > 0
        ? mixtureRows(labelBatch(validation, indices), size, config.classes)
        : undefined;
    const loss = tf.tidy(
      () => evaluation(state, batchTensors(config, { images, mixtures, size })).outputs.loss,
    );
    sum += size * (loss.dataSync()[0] as number);
    loss.dispose();
  }
  const loss = sum / count;
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

/** The state with updates put in; frees what they replace. */
function replaced(state: Leaves, updates: Leaves): Leaves {
  for (const name of Object.keys(updates)) state[name]?.dispose();
  return { ...state, ...updates };
}

/** A flow with tensors of its own. */
function copyFlow(flow: TarFlow): TarFlow {
  return {
    config: flow.config,
    parameters: mapTree(flow.parameters, (leaf) => leaf.clone()),
    variance: flow.variance.clone(),
  };
}

function checkData(config: FlowConfig, data: ImageDataset, settings: TrainingSettings): void {
  const [got, expected] = [data.image, config.image];
  if (
    got.channels !== expected.channels ||
    got.height !== expected.height ||
    got.width !== expected.width
  ) {
    throw new UserError(
      `${data.name} has images of ${got.channels}×${got.height}×${got.width}`,
      `This model takes ${expected.channels}×${expected.height}×${expected.width}`,
    );
  }
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
