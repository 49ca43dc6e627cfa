import { inParts, partsOf } from '@tarflow/graph';
import { tf } from '../core/tf.js';
import { type Leaves, under, valueAndGradient, withPrefix } from '../core/tree.js';
import { type AdamWOptions, adamWUpdate } from './optimiser/adamw.js';
import type { TrainingSettings } from './settings.js';
import {
  apart,
  bufferName,
  buffersOf,
  fixedPrefix,
  inFormOf,
  modelOfState,
  ofTask,
  prefixes,
} from './state.js';
import type { Task, Template } from './template.js';

export interface StepOptions extends AdamWOptions {
  /** Largest L2 norm of the gradient over an objective's leaves; a longer one is scaled down to it. */
  clipNorm?: number;
  /** True to keep a running mean of the parameters, `average.*`, by the step's `averageShare`. */
  averages?: boolean;
}

/** What a step takes from the settings of a run. */
export function stepOptions({
  weightDecay,
  beta2,
  clipNorm,
  averageDecay,
}: TrainingSettings): StepOptions {
  return {
    weightDecay,
    ...(beta2 !== undefined && { beta2 }),
    ...(clipNorm > 0 && { clipNorm }),
    ...(averageDecay > 0 && { averages: true }),
  };
}

/** The rates of a step, which are inputs of it beside those of the objective. */
export type Rates = {
  learningRate: tf.Scalar;
  /** 1 − β₁ᵗ and 1 − β₂ᵗ. */
  firstCorrection: tf.Scalar;
  secondCorrection: tf.Scalar;
  /** The share of the latest parameters in their mean, where one is kept: see `averageShare`. */
  averageShare?: tf.Scalar;
};

/** The rates as numbers. */
export type RateValues = { [Name in keyof Rates]: number };

/**
 * What an objective finds on a batch, as named tensors: `loss`, its terms `term.*`, the gradient
 * `gradient.*` of the leaves that it trains, and new values `buffer.*` of buffers. All of them are
 * means over the batch, so those of a batch in equal parts are the means of the parts'.
 */
export type Found = Leaves;

/** What the names of such tensors begin with. */
export const foundPrefixes = { term: 'term.', gradient: 'gradient.', buffer: 'buffer.' } as const;

/**
 * The first half of a training step, as a pure function of a state and an objective's inputs.
 *
 * @param parts equal parts of the batch that are computed side by side (`batchParts`)
 */
export function gradientStep(
  template: Template,
  task: Task,
  parts: number,
): (state: Leaves, inputs: Leaves) => Found {
  return (state, inputs) => {
    const held = under(state, prefixes.parameter);
    const trained = ofTask(task, held);
    const fixed = under(state, fixedPrefix(task));
    return meanOf(
      inParts(
        partsOf(inputs, parts).map((batch) => () => {
          const parameters = apart(template, held);
          const own = ofTask(task, parameters);
          const { value, gradient, auxiliary } = valueAndGradient((current) => {
            const model = template.model({ ...parameters, ...current }, buffersOf(template, state));
            const { loss, terms, buffers = {} } = task.objective.loss(model, batch, fixed);
            checkTerms(task, terms);
            return {
              value: loss,
              auxiliary: {
                ...withPrefix(terms, foundPrefixes.term),
                ...withPrefix(buffers, foundPrefixes.buffer),
              },
            };
          }, own);
          const found = inFormOf(task, trained, gradient);
          return { loss: value, ...auxiliary, ...withPrefix(found, foundPrefixes.gradient) };
        }),
      ),
    );
  };
}

/**
 * The second half of a training step, as a pure function of a state and of what the first half found,
 * with the rates of the step: AdamW, the means of the parameters, and the buffers.
 */
export function applyStep(
  task: Task,
  options: StepOptions,
): (state: Leaves, found: Found) => { outputs: Leaves; updates: Leaves } {
  return (state, found) => {
    const { learningRate, firstCorrection, secondCorrection, averageShare } = found as Found &
      Rates;
    const parameters = ofTask(task, under(state, prefixes.parameter));
    const gradient = under(found, foundPrefixes.gradient);
    const squares = Object.values(gradient).map((g) => tf.sum(tf.square(g)));
    const gradientNorm = tf.sqrt(tf.addN(squares)) as tf.Scalar;
    const updated = adamWUpdate(
      parameters,
      clipped(gradient, gradientNorm, options.clipNorm),
      { first: under(state, prefixes.first), second: under(state, prefixes.second) },
      learningRate,
      { first: firstCorrection, second: secondCorrection },
      options,
    );
    const updates: Leaves = {
      ...withPrefix(updated.parameters, prefixes.parameter),
      ...withPrefix(updated.first, prefixes.first),
      ...withPrefix(updated.second, prefixes.second),
    };
    if (options.averages) {
      // The parameters before this update: a mean that lags by one step, and no second read of
      // what the optimiser writes in place.
      for (const [name, leaf] of Object.entries(parameters)) {
        const average = state[prefixes.average + name] as tf.Tensor;
        updates[prefixes.average + name] = tf.add(
          average,
          tf.mul(tf.sub(leaf, average), averageShare as tf.Scalar),
        );
      }
    }
    for (const [name, buffer] of Object.entries(under(found, foundPrefixes.buffer))) {
      updates[bufferName(name)] = buffer;
    }
    return { outputs: { gradientNorm }, updates };
  };
}

/** One training step of an objective, both halves in one pure function. */
export function trainingStep(
  template: Template,
  task: Task,
  { parts, ...options }: StepOptions & { parts: number },
): (state: Leaves, inputs: Leaves) => { outputs: Leaves; updates: Leaves } {
  const [gradientOf, apply] = [gradientStep(template, task, parts), applyStep(task, options)];
  return (state, inputs) => {
    const { learningRate, firstCorrection, secondCorrection, averageShare, ...batch } =
      inputs as Leaves & Rates;
    const found = gradientOf(state, batch);
    const rates = { learningRate, firstCorrection, secondCorrection };
    const applied = apply(state, { ...found, ...rates, ...(averageShare && { averageShare }) });
    return { ...applied, outputs: { ...measured(found), ...applied.outputs } };
  };
}

/** The loss and the terms among what an objective found, by their own names. */
export function measured(found: Found): Leaves {
  return { loss: found.loss as tf.Tensor, ...under(found, foundPrefixes.term) };
}

/**
 * An objective's loss and those of its terms that are scalars, on given inputs, as a pure function of
 * the state.
 *
 * @param parts equal parts of the batch that are computed side by side
 */
export function evaluationStep(
  template: Template,
  task: Task,
  parts: number,
): (state: Leaves, inputs: Leaves) => { outputs: Leaves } {
  return (state, inputs) => {
    const model = modelOfState(template, state);
    const fixed = under(state, fixedPrefix(task));
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

/** Names that a line of the log has anyway. */
const columns = [
  ...['step', 'epoch', 'loss', 'gradientNorm', 'learningRate', 'imagesPerSecond', 'dataShare'],
  ...['validation', 'bitsPerDimension'],
];

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
  return Object.fromEntries(
    Object.keys(parts[0] as Leaves).map((name) => {
      const values = parts.map((found) => found[name] as tf.Tensor);
      const [only] = values as [tf.Tensor];
      return [name, values.length === 1 ? only : tf.div(tf.addN(values), values.length)];
    }),
  );
}

function clipped(gradient: Leaves, norm: tf.Scalar, clipNorm: number | undefined): Leaves {
  if (clipNorm === undefined) return gradient;
  const scale = tf.minimum(1, tf.div(clipNorm, norm));
  return Object.fromEntries(Object.entries(gradient).map(([name, g]) => [name, tf.mul(g, scale)]));
}
