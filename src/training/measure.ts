import { tf } from '../core/tf.js';
import type { Leaves } from '../core/tree.js';
import { halfLog2Pi } from '../flow/flow.js';
import { type Batch, type BatchPlan, heldOutBatch } from './batches/index.js';
import type { TrainingProgram } from './program.js';
import type { Validation } from './record.js';
import type { RateValues } from './step.js';
import type { Template } from './template.js';

/** Columns of a log's line, in their order. */
type Columns = Record<string, number | number[]>;

/** One step of every objective, in their order, and what it measured. */
export async function takeStep(
  program: TrainingProgram,
  { tasks }: Template,
  batch: Batch,
  rates: RateValues,
): Promise<Columns & { loss: number; gradientNorm: number }> {
  const found: Record<string, Columns> = {};
  for (const { objective } of tasks) {
    const { name } = objective;
    found[name] = hostColumns(await program.train(name, batch[name] ?? {}, rates));
  }
  const norms = Object.values(found).map(({ gradientNorm }) => gradientNorm as number);
  return {
    ...merged(found),
    gradientNorm: norms.length === 1 ? (norms[0] as number) : Math.hypot(...norms),
  };
}

/** Samples of a batch of validation. */
export function heldOutSize(
  { batchSize }: Pick<BatchPlan['settings'], 'batchSize'>,
  { length }: Pick<BatchPlan['data'], 'length'>,
): number {
  return Math.min(batchSize, length);
}

/**
 * What the objectives measure on the first held-out samples, in whole batches: means of the losses
 * and of those terms that are numbers. Labels are told, and none is dropped.
 *
 * @param plan its data are the held-out ones
 * @param samples in all, at most
 */
export async function validate(
  program: TrainingProgram,
  { family, tasks }: Template,
  plan: BatchPlan,
  samples: number,
): Promise<Validation> {
  const size = heldOutSize(plan.settings, plan.data);
  const batches = Math.max(1, Math.floor(Math.min(samples, plan.data.length) / size));
  const found: Columns[] = [];
  for (let index = 0; index < batches; index++) {
    const indices = Int32Array.from({ length: size }, (_, i) => index * size + i);
    const batch = await heldOutBatch(plan, indices);
    const own = tasks.map(({ objective: { name } }) => [
      name,
      hostColumns(program.evaluate(name, batch[name] ?? {})),
    ]);
    found.push(merged(Object.fromEntries(own)));
  }
  const means = Object.keys(found[0] as Columns).map((column) => {
    const sum = found.reduce((total, columns) => total + (columns[column] as number), 0);
    return [column, sum / batches] as const;
  });
  const validation = Object.fromEntries(means) as Validation;
  const exact = family.flow && plan.settings.noise.kind === 'uniform';
  const nats = validation[tasks.length === 1 ? 'loss' : 'likelihood.loss'];
  if (!exact || nats === undefined) return validation;
  return { ...validation, bitsPerDimension: (nats + halfLog2Pi + Math.log(128)) / Math.LN2 };
}

/**
 * What objectives found as columns of one line: those of one as they are; of several each under its
 * name, and the sum of the losses before them.
 */
function merged(found: Record<string, Columns>): Columns & { loss: number } {
  const all = Object.entries(found);
  const loss = all.reduce((sum, [, columns]) => sum + (columns.loss as number), 0);
  if (all.length === 1) return { ...all[0]?.[1], loss };
  const columns = all.flatMap(([name, own]) =>
    Object.entries(own).map(([column, value]) => [`${name}.${column}`, value] as const),
  );
  return { loss, ...Object.fromEntries(columns) };
}

/** Reads and frees named tensors: scalars as numbers, vectors as lists. */
function hostColumns(tensors: Leaves): Columns {
  try {
    return Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => {
        const numbers = Array.from(tensor.dataSync());
        return [name, tensor.rank === 0 ? (numbers[0] as number) : numbers];
      }),
    );
  } finally {
    tf.dispose(tensors);
  }
}
