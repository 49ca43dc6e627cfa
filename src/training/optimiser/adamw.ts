import { traceInPlace } from '@tarflow/graph';
import { tf } from '../../core/tf.js';
import type { Leaves } from '../../core/tree.js';

export interface AdamWOptions {
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  /** Decoupled decay, applied to every parameter, also to biases, norms and embeddings. */
  weightDecay?: number;
}

/** First and second moments of the gradient, by leaf. */
export interface Moments {
  first: Leaves;
  second: Leaves;
}

/** Moments of zero for every leaf. */
export function adamWInit(parameters: Leaves): Moments {
  const zeros = (): Leaves =>
    Object.fromEntries(
      Object.entries(parameters).map(([name, leaf]) => [name, tf.zerosLike(leaf)]),
    );
  return { first: zeros(), second: zeros() };
}

/** 1 − β₁ᵗ and 1 − β₂ᵗ for update number t, counted from 1. */
export function biasCorrections(
  t: number,
  options: AdamWOptions = {},
): { first: number; second: number } {
  const { beta1 = 0.9, beta2 = 0.95 } = options;
  return { first: 1 - beta1 ** t, second: 1 - beta2 ** t };
}

/**
 * The share of the latest values in a running mean with some decay, at update number t, counted from 1.
 * From 1 it falls to 1 − decay, so that what the mean began with has no part in it: it is the mean that
 * Adam's moments are after their correction for bias (Kingma and Ba 2015, section 3).
 */
export function averageShare(decay: number, t: number): number {
  return (1 - decay) / (1 - decay ** t);
}

/**
 * One AdamW update (Loshchilov and Hutter 2019, algorithm 2) with the papers' constants as defaults:
 * betas (0.9, 0.95), epsilon 1e-8, weight decay 1e-4. Pure: the new leaves and moments are new
 * tensors. Call it inside `tidy`: it leaves intermediate tensors. In a captured function it becomes one
 * pass over the memory of the variables. There, parameters and moments have to be variables of the program,
 * and the results have to be among the function's updates.
 *
 * @param learningRate a number, or a scalar tensor where the update is captured as a graph
 * @param corrections 1 − β₁ᵗ and 1 − β₂ᵗ for the number t of this update, as numbers or scalars
 */
export function adamWUpdate(
  parameters: Leaves,
  gradient: Leaves,
  moments: Moments,
  learningRate: number | tf.Scalar,
  corrections: { first: number | tf.Scalar; second: number | tf.Scalar },
  options: AdamWOptions = {},
): Moments & { parameters: Leaves } {
  const { beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weightDecay = 1e-4 } = options;
  const updated: Moments & { parameters: Leaves } = { parameters: {}, first: {}, second: {} };
  const root = tf.sqrt(corrections.second);
  const rates: AdamWRates = {
    beta1,
    beta2,
    // (m / c₁) / (√(v / c₂) + ε) = √c₂ / c₁ · m / (√v + ε·√c₂)
    step: tf.mul(learningRate, tf.div(root, corrections.first)),
    epsilon: tf.mul(epsilon, root),
    decay: tf.mul(learningRate, weightDecay),
  };
  for (const [name, leaf] of Object.entries(parameters)) {
    const [first, second, g] = [moments.first[name], moments.second[name], gradient[name]];
    if (!first || !second || !g) throw new Error(`${name} lacks its moments or its gradient.`);
    const state = [leaf, first, second] as const;
    const result = fusedAdamW(state, g, rates) ?? composedAdamW(state, g, rates);
    updated.parameters[name] = result[0];
    updated.first[name] = result[1];
    updated.second[name] = result[2];
  }
  return updated;
}

function composedAdamW([leaf, first, second]: AdamWState, g: tf.Tensor, rates: AdamWRates) {
  const { beta1, beta2, step, epsilon, decay } = rates;
  const m = tf.add(tf.mul(first, beta1), tf.mul(g, 1 - beta1));
  const v = tf.add(tf.mul(second, beta2), tf.mul(tf.square(g), 1 - beta2));
  const move = tf.mul(step, tf.div(m, tf.add(tf.sqrt(v), epsilon)));
  return [tf.sub(tf.sub(leaf, tf.mul(leaf, decay)), move), m, v] as const;
}

/** The numbers of an AdamW update, with the corrections of both moments in them. */
interface AdamWRates {
  beta1: number;
  beta2: number;
  /** What the quotient of the moments is multiplied with. */
  step: tf.Tensor;
  /** Stands beside the root of the second moment. */
  epsilon: tf.Tensor;
  /** The share of the parameter that is taken away first. */
  decay: tf.Tensor;
}

/** A parameter and the first and the second moment of its gradient. */
type AdamWState = readonly [tf.Tensor, tf.Tensor, tf.Tensor];

/**
 * While a function is traced: records an AdamW update as one pass over the memory of the variables
 * (TensorFlow's ResourceApplyAdam). The state has to be variables of the program, and the result has
 * to be among the function's updates. Undefined when nothing is traced.
 */
function fusedAdamW(
  [leaf, first, second]: AdamWState,
  gradient: tf.Tensor,
  rates: AdamWRates,
): AdamWState | undefined {
  const decayed = traceInPlace('AssignSubVariableOp', {}, [leaf], [tf.mul(leaf, rates.decay)]);
  if (!decayed) return undefined;
  // The op would correct by powers of the betas; `step` and `epsilon` already include them.
  const power = tf.scalar(0);
  const inputs = [
    ...[power, power, rates.step, tf.scalar(rates.beta1), tf.scalar(rates.beta2), rates.epsilon],
    gradient,
  ];
  const variables = [decayed[0] as tf.Tensor, first, second];
  return traceInPlace('ResourceApplyAdam', {}, variables, inputs) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
}
