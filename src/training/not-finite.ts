import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { type Leaves, type Tree, valueAndGradient } from '../core/tree.js';
import type { DataSource } from '../data/source.js';
import type { ModelConfig } from '../flow/model.js';
import { type Batch, samplesOf } from './batches/index.js';
import type { CheckedParts } from './checks.js';
import type { ModelSpec } from './model-spec.js';
import type { TrainingProgram } from './program.js';
import type { StartingPoint } from './run-description.js';
import { stateOf } from './state.js';

/** Where numbers that are not finite begin in a step. */
interface NotFinite {
  /** The parameter or buffer that is so already, or the one that was read last before. */
  parameter: string | undefined;
  /** The operation, which had finite inputs; absent where the state was not finite before. */
  operation?: { name: string; from: number; to: number; isGradient: boolean };
  sample?: number;
}

/**
 * Computes an objective's loss and gradient again, operation by operation, until one of them gives a number
 * that is not finite from finite ones.
 *
 * @param state before its step, a tensor for each leaf
 * @param fixed what the loss reads and nothing changes
 * @returns undefined where all is finite so, in float32
 */
function findNotFinite(
  { config, model }: ModelSpec,
  { objective, leaves: trained }: ModelSpec['tasks'][number],
  state: Leaves,
  { batch, batchSize }: { batch: Batch[string]; batchSize: number },
  fixed: Leaves,
): NotFinite | undefined {
  const spoilt = Object.entries(state).find(([, tensor]) => !allFinite(tensor));
  if (spoilt) return { parameter: spoilt[0] };
  const { parameters, buffers } = stateOf(state);
  const own = Object.fromEntries(trained.map((name) => [name, parameters[name]!]));
  const names = Object.entries({ ...buffers, ...parameters });
  const search = new Search(new Map(names.map(([name, { dataId }]) => [dataId, name])), batchSize);
  const specs = Object.entries(objective.inputs(config, batchSize));
  search.during(() =>
    tidy(() => {
      const inputs = specs.map(([name, { shape, dtype }]) => {
        return [name, tf.tensor(batch[name] ?? [], [...shape], dtype)];
      });
      const given = Object.fromEntries(inputs);
      valueAndGradient((current) => {
        const { loss } = objective.loss(
          model({ ...parameters, ...current }, buffers),
          given,
          fixed,
        );
        search.isGradient = true;
        return { value: loss, auxiliary: {} };
      }, own);
    }),
  );
  return search.found;
}

class Search {
  isGradient = false;
  found: NotFinite | undefined;
  private last: string | undefined;

  constructor(
    private readonly parameters: ReadonlyMap<object, string>,
    private readonly batchSize: number,
  ) {}

  during(work: () => void): void {
    const engine = tf.engine();
    const { runKernel } = engine;
    engine.runKernel = <T extends tf.Tensor | tf.Tensor[]>(
      name: string,
      inputs: tf.NamedTensorMap,
      attributes?: Parameters<typeof runKernel>[2],
    ): T => {
      const result = runKernel.call(engine, name, inputs, attributes) as T;
      for (const output of [result].flat() as tf.Tensor[]) {
        if (!this.found) this.check(name, Object.values(inputs).flat() as tf.Tensor[], output);
      }
      return result;
    };
    try {
      work();
    } finally {
      Reflect.deleteProperty(engine, 'runKernel');
    }
  }

  private check(name: string, inputs: readonly tf.Tensor[], output: tf.Tensor): void {
    const read = inputs.map((input) => this.parameters.get(input?.dataId)).find(Boolean);
    if (read !== undefined) this.last = read;
    if (output.dtype !== 'float32') return;
    const first = output.dataSync().findIndex((value) => !Number.isFinite(value));
    const from = inputs.flatMap((input) => (input?.dtype === 'float32' ? rangeOf(input) : []));
    if (first < 0 || !from.every(Number.isFinite)) return;
    const [rows = 0] = output.shape;
    const ofSamples = !this.isGradient && rows > 0 && rows % this.batchSize === 0;
    this.found = {
      parameter: this.last,
      operation: {
        ...{ name, isGradient: this.isGradient },
        ...{ from: Math.min(...from), to: Math.max(...from) },
      },
      ...(ofSamples && { sample: Math.floor((first * this.batchSize) / output.size) }),
    };
  }
}

function allFinite(tensor: tf.Tensor): boolean {
  return rangeOf(tensor).every(Number.isFinite);
}

function rangeOf(tensor: tf.Tensor): number[] {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of tensor.dataSync()) {
    if (!Number.isFinite(value)) return [value];
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return tensor.size > 0 ? [least, most] : [];
}

/**
 * The program's steps, which end in an error that says where numbers began that are not finite.
 * @param done the steps before
 */
export function examinedSteps<C extends ModelConfig, P extends Tree>(
  program: TrainingProgram,
  { spec, settings: { batchSize }, batchOptions }: CheckedParts<C, P>,
  done: () => number,
): Pick<TrainingProgram, 'train'> {
  const train: TrainingProgram['train'] = async (name, batch, rates) => {
    const before = program.read();
    let fixed: Leaves = {};
    try {
      const measured = await program.train(name, batch, rates);
      const { loss, gradientNorm } = measured as Record<'loss' | 'gradientNorm', tf.Tensor>;
      const [[value], [norm]] = [loss.dataSync(), gradientNorm.dataSync()];
      if (allFinite(loss) && allFinite(gradientNorm)) return measured;
      tf.dispose(measured);
      const task = spec.tasks.find(({ objective }) => objective.name === name)!;
      fixed = (await task.objective.fixed?.(spec.config)) ?? {};
      const found = findNotFinite(spec, task, before, { batch, batchSize }, fixed);
      const samples = samplesOf(batchOptions, done());
      const sample = found?.sample === undefined ? undefined : samples[found.sample];
      const of = spec.tasks.length > 1 ? ` of the objective ${name}` : '';
      throw new UserError(
        `Step ${done() + 1}${of} has the loss ${value} and a gradient of norm ${norm}. ` +
          textOf(found, sample, batchOptions.data),
        `Its samples are ${samples.join(', ')}`,
      );
    } finally {
      tf.dispose([before, fixed]);
    }
  };
  return { train };
}

function textOf(
  found: NotFinite | undefined,
  sample: number | undefined,
  { name, split }: DataSource,
): string {
  if (!found) {
    return 'Operation by operation in float32 that was not found: it may begin in bfloat16 or in the norm';
  }
  const { parameter, operation } = found;
  if (!operation) return `${parameter} was not finite before that`;
  const { name: kernel, from, to, isGradient } = operation;
  const near = parameter === undefined ? '' : `, after it read ${parameter}`;
  const of = sample === undefined ? '' : `, for sample ${sample} of ${name} (${split})`;
  return (
    `That began in its ${isGradient ? 'gradient' : 'loss'} at the operation ${kernel} of numbers from ` +
    `${short(from)} to ${short(to)}${near}${of}`
  );
}

const short = (value: number): string => String(Number(value.toPrecision(4)));

/** What a run began with is named again while nothing is saved. */
export function notFiniteRemedy(
  { folder, from }: { folder?: string; from?: StartingPoint },
  savedStep: number,
): string {
  const kept = folder && savedStep > 0 ? `${folder} keeps the state of step ${savedStep}. ` : '';
  const again = 'Begin a new run with a lower peakLearningRate, or with more warmupSteps';
  const begin = from && savedStep === 0 ? ` --from '${from.checkpoint}'` : '';
  const command = `npx tarflow train --out '${folder}' --resume${begin} --examine`;
  return `${kept}${again}${folder ? `. To see where it began: ${command}` : ''}`;
}
