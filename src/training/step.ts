import { inParts, type Mode, Packing, partsOf } from '@tarflow/graph';
import { tf } from '../core/tf.js';
import { grouped, type Leaves, leaf, leaves, valueAndGradient } from '../core/tree.js';
import type { ModelSpec, Task } from './model-spec.js';
import {
  type AdamWOptions,
  adamWUpdate,
  averageShare,
  biasCorrections,
} from './optimiser/adamw.js';
import { learningRate } from './optimiser/schedule.js';
import type { TrainingSettings } from './settings.js';
import { stateOf } from './state.js';

export interface StepOptions extends AdamWOptions {
  /** Largest L2 norm of the gradient over an objective's leaves; a longer one is scaled down to it. */
  clipNorm?: number;
  /** True to keep a running mean of the parameters, `average.*`, by the step's `averageShare`. */
  averages?: boolean;
}

/** What a step takes from the settings of a run. */
export function stepOptions(settings: TrainingSettings): StepOptions {
  const { weightDecay, beta1, beta2, clipNorm, averageDecay } = settings;
  return {
    weightDecay,
    ...(beta1 !== undefined && { beta1 }),
    ...(beta2 !== undefined && { beta2 }),
    ...(clipNorm > 0 && { clipNorm }),
    ...(averageDecay > 0 && { averages: true }),
  };
}

/** The rates of a step, which are inputs of it beside those of the objective. */
export type Rates = {
  learningRate: number;
  /** 1 − β₁ᵗ and 1 − β₂ᵗ. */
  firstCorrection: number;
  secondCorrection: number;
  /** The share of the latest parameters in their mean, where one is kept: see `averageShare`. */
  averageShare?: number;
};

/** The rates of the step after `step` ones, where the mean was over some steps before all of them. */
export function ratesOf(settings: TrainingSettings, step: number, stepsOfMean = 0): Rates {
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

/** How a program of some mode holds the leaves that an objective trains, and all that goes with them. */
export function packingOf({ tasks, shapes }: ModelSpec, mode: Mode | undefined): Packing {
  const groups = tasks.map((task) => [
    task.objective.name,
    Object.fromEntries(task.leaves.map((leaf) => [leaf, shapes[leaf] ?? []])),
  ]);
  return new Packing(Object.fromEntries(groups), mode);
}

/** A function of a program: of its variables, which are a state as `packing` holds it, and of inputs. */
type StepFunction = (variables: Leaves, inputs: Leaves) => { outputs: Leaves; updates: Leaves };

/**
 * The first half of a training step, as a pure function of a state and an objective's inputs: what the
 * objective finds on a batch, as `terms.*` with the loss among them, the gradient `gradient.*` of the
 * leaves that it trains, and new values `buffers.*`. All of them are means over the batch, so those of
 * a batch in equal parts are the means of the parts'.
 *
 * @param packing how the program holds the state
 * @param parts equal parts of the batch that are computed side by side (`batchParts`)
 */
export function gradientStep(
  spec: ModelSpec,
  task: Task,
  packing: Packing,
  parts: number,
): (variables: Leaves, inputs: Leaves) => Leaves {
  const { objective } = task;
  return (variables, inputs) => {
    const { parameters: held, buffers } = stateOf(variables);
    const fixed = fixedOf(task, variables);
    const ofPart = (batch: Leaves): Leaves => {
      const parameters = packing.unpack(held);
      const trained = task.leaves.map((name) => [name, parameters[name] as tf.Tensor] as const);
      const { value, gradient, auxiliary } = valueAndGradient((current) => {
        const model = spec.model({ ...parameters, ...current }, buffers);
        const found = objective.loss(model, batch, fixed);
        checkTerms(task, found.terms);
        return {
          value: found.loss,
          auxiliary: leaves({ terms: found.terms, buffers: found.buffers }),
        };
      }, Object.fromEntries(trained));
      return { 'terms.loss': value, ...auxiliary, ...leaves({ gradient: packing.pack(gradient) }) };
    };
    return meanOf(inParts(partsOf(inputs, parts).map((batch) => () => ofPart(batch))));
  };
}

/**
 * The second half of a training step, as a pure function of a state and of what the first half found,
 * with the rates of the step: clipping, AdamW, the means of the parameters, and the buffers.
 */
export function applyStep(task: Task, packing: Packing, options: StepOptions): StepFunction {
  return (variables, inputs) => {
    const state = stateOf(variables);
    const { gradient = {}, buffers = {} } = grouped(inputs);
    const rate = (name: keyof Rates): tf.Scalar => leaf(inputs, name, 0);
    const parameters = packing.held(task.objective.name, state.parameters);
    const squares = Object.values(gradient).map((g) => tf.sum<tf.Scalar>(tf.square(g)));
    const gradientNorm = tf.sqrt(tf.addN(squares));
    const updated = adamWUpdate(
      parameters,
      clipped(gradient, gradientNorm, options.clipNorm),
      state,
      rate('learningRate'),
      { first: rate('firstCorrection'), second: rate('secondCorrection') },
      options,
    );
    // Of the parameters before this update: a mean that lags by one step, and no second read of
    // what the optimiser writes in place.
    const average = options.averages ? moved(state.average, parameters, rate('averageShare')) : {};
    return { outputs: { gradientNorm }, updates: leaves({ ...updated, average, buffers }) };
  };
}

/** One training step of an objective, both halves in one pure function. */
export function trainingStep(
  spec: ModelSpec,
  task: Task,
  packing: Packing,
  { parts, ...options }: StepOptions & { parts: number },
): StepFunction {
  const gradientOf = gradientStep(spec, task, packing, parts);
  const apply = applyStep(task, packing, options);
  return (variables, inputs) => {
    const { learningRate, firstCorrection, secondCorrection, averageShare, ...batch } = inputs;
    const found = gradientOf(variables, batch);
    const { outputs, updates } = apply(variables, { ...inputs, ...found });
    return { outputs: { ...grouped(found).terms, ...outputs }, updates };
  };
}

/**
 * An objective's loss and those of its terms that are scalars, on given inputs, as a pure function of
 * the state.
 *
 * @param parts equal parts of the batch that are computed side by side
 */
export function evaluationStep(
  spec: ModelSpec,
  task: Task,
  packing: Packing,
  parts: number,
): (variables: Leaves, inputs: Leaves) => { outputs: Leaves } {
  return (variables, inputs) => {
    const { parameters, average, buffers } = stateOf(variables);
    const model = spec.model(packing.unpack({ ...parameters, ...average }), buffers);
    const fixed = fixedOf(task, variables);
    const results = inParts(
      partsOf(inputs, parts).map((batch) => () => {
        const { loss, terms } = task.objective.loss(model, batch, fixed);
        const scalars = Object.entries(terms).filter(([, term]) => term.rank === 0);
        return { loss, ...Object.fromEntries(scalars) };
      }),
    );
    return { outputs: meanOf(results) };
  };
}

/** What an objective's loss reads and nothing changes: variables of the program, `fixed.NAME.*`. */
function fixedOf({ objective }: Task, variables: Leaves): Leaves {
  return grouped(grouped(variables).fixed ?? {})[objective.name] ?? {};
}

/** Names that a line of the log has anyway. */
const columnNames =
  'step epoch loss gradientNorm learningRate imagesPerSecond dataShare validation bitsPerDimension';
const columns = columnNames.split(' ');

function checkTerms({ objective }: Task, terms: Leaves): void {
  const taken = Object.keys(terms).find((name) => columns.includes(name));
  if (taken !== undefined) {
    throw new Error(
      `A term of the objective ${objective.name} has the name ${taken}: choose another.`,
    );
  }
}

/** Means over parts of equal size, name by name. */
function meanOf(parts: readonly Leaves[]): Leaves {
  const [first = {}] = parts;
  return mapped(first, (only, name) => {
    const values = parts.flatMap((found) => found[name] ?? []);
    return values.length === 1 ? only : tf.div(tf.addN(values), values.length);
  });
}

function clipped(gradient: Leaves, norm: tf.Scalar, clipNorm: number | undefined): Leaves {
  if (clipNorm === undefined) return gradient;
  const scale = tf.minimum(1, tf.div(clipNorm, norm));
  return mapped(gradient, (g) => tf.mul(g, scale));
}

/** Running means, moved by a share of the way to new values. */
function moved(means: Leaves, values: Leaves, share: tf.Scalar): Leaves {
  return mapped(values, (value, name) => {
    const mean = means[name];
    if (!mean) throw new Error(`There is no running mean of ${name}.`);
    return tf.add(mean, tf.mul(tf.sub(value, mean), share));
  });
}

function mapped(tensors: Leaves, f: (tensor: tf.Tensor, name: string) => tf.Tensor): Leaves {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, f(tensor, name)]),
  );
}
