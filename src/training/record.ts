import { tf } from '../core/tf.js';
import type { Leaves } from '../core/tree.js';
import { halfLog2Pi } from '../flow/density.js';
import { type Batch, type BatchOptions, heldOutBatch } from './batches/index.js';
import type { ModelSpec } from './model-spec.js';
import type { TrainingProgram } from './program.js';
import type { Rates } from './step.js';

/**
 * One line of a run's log: a training step, and at intervals a validation. Beside what is named here
 * it has the terms of the objective: a number each, or a short list of numbers. Where a model has
 * several objectives, each has its columns `NAME.loss`, `NAME.gradientNorm` and `NAME.TERM`.
 */
export interface StepRecord {
  /** Steps done, this one included. */
  step: number;
  /** Epochs done, this step included: step / ⌊images / batchSize⌋, which need not be a whole number. */
  epoch: number;
  /** The loss of the objective; the sum of those of several. */
  loss: number;
  /** L2 norm of the gradient, of several objectives together, before it is clipped. */
  gradientNorm: number;
  learningRate: number;
  imagesPerSecond: number;
  /** Share of the step's time spent on waiting for its batch. */
  dataShare: number;
  validation?: Validation;
  [term: string]: number | number[] | Validation | undefined;
}

/**
 * What the objective measures on held-out images, with noise drawn once and for all from the seed:
 * the loss, and those of its terms that are numbers.
 */
export interface Validation {
  loss: number;
  /**
   * The loss in bits per dimension, under a standard normal prior. (For a volume-preserving flow the
   * function `bitsPerDimension` takes the prior's measured variance, and differs.) Only of a likelihood
   * with uniform noise: with other noise the density is not that of the images.
   */
  bitsPerDimension?: number;
  [term: string]: number | undefined;
}

/** What a step of a flow adds to a record. */
export interface LikelihoodRecord extends StepRecord {
  /** ½·mean z². */
  prior: number;
  /** Mean log-determinant per dimension, in nats. */
  logDet: number;
  /** Mean square of each block's output; tends to 1. */
  meanSquares: number[];
}

/** What an objective finds: the columns of a log's line, in their order. */
interface Columns {
  loss: number;
  [term: string]: number | number[];
}

/** One step of every objective, in their order, and what it measured. */
export async function takeStep(
  program: Pick<TrainingProgram, 'train'>,
  { tasks }: ModelSpec,
  batch: Batch,
  rates: Rates,
): Promise<Columns & { gradientNorm: number }> {
  const found: Record<string, Columns> = {};
  for (const { objective } of tasks) {
    const { name } = objective;
    found[name] = hostColumns(await program.train(name, batch[name] ?? {}, rates));
  }
  const norms = Object.values(found).map(({ gradientNorm }) => Number(gradientNorm));
  const [only = 0, ...more] = norms;
  return { ...merged(found), gradientNorm: more.length === 0 ? only : Math.hypot(...norms) };
}

/** Samples of a batch of validation. */
export function heldOutSize(
  { batchSize }: { batchSize: number },
  data: { length: number },
): number {
  return Math.min(batchSize, data.length);
}

/**
 * What the objectives measure on the first held-out samples, in whole batches: means of the losses
 * and of those terms that are numbers. Labels are told, and none is dropped.
 *
 * @param options its data are the held-out ones
 * @param samples in all, at most
 */
export async function validate(
  program: TrainingProgram,
  { family, tasks }: ModelSpec,
  options: BatchOptions,
  samples: number,
): Promise<Validation> {
  const size = heldOutSize(options.settings, options.data);
  const batches = Math.max(1, Math.floor(Math.min(samples, options.data.length) / size));
  const sums: Validation = { loss: 0 };
  for (let index = 0; index < batches; index++) {
    const indices = Int32Array.from({ length: size }, (_, i) => index * size + i);
    const batch = await heldOutBatch(options, indices);
    const found: Record<string, Columns> = {};
    for (const { objective } of tasks) {
      const { name } = objective;
      found[name] = hostColumns(program.evaluate(name, batch[name] ?? {}));
    }
    for (const [column, value] of Object.entries(merged(found))) {
      sums[column] = (sums[column] ?? 0) + Number(value);
    }
    // Let timers and signals run.
    await new Promise(setImmediate);
  }
  const validation: Validation = { loss: sums.loss / batches };
  for (const [column, sum = 0] of Object.entries(sums)) validation[column] = sum / batches;
  const exact = family.flow && options.settings.noise.kind === 'uniform';
  const nats = validation[tasks.length === 1 ? 'loss' : 'likelihood.loss'];
  if (!exact || nats === undefined) return validation;
  return { ...validation, bitsPerDimension: (nats + halfLog2Pi + Math.log(128)) / Math.LN2 };
}

/**
 * What objectives found as columns of one line: those of one as they are; of several each under its
 * name, and the sum of the losses before them.
 */
function merged(found: Record<string, Columns>): Columns {
  const all = Object.entries(found);
  const columns: Columns = { loss: all.reduce((sum, [, own]) => sum + own.loss, 0) };
  for (const [name, own] of all) {
    for (const [column, value] of Object.entries(own)) {
      columns[all.length === 1 ? column : `${name}.${column}`] = value;
    }
  }
  return columns;
}

/** Reads and frees an objective's loss and terms: scalars as numbers, vectors as lists. */
function hostColumns(tensors: Leaves): Columns {
  try {
    const columns: Columns = { loss: Number.NaN };
    for (const [name, tensor] of Object.entries(tensors)) {
      const numbers = Array.from(tensor.dataSync());
      columns[name] = tensor.rank === 0 ? (numbers[0] ?? Number.NaN) : numbers;
    }
    return columns;
  } finally {
    tf.dispose(tensors);
  }
}
