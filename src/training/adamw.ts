import { tf } from '../backend/tf.js';
import type { Leaves } from '../backend/tree.js';

export interface AdamWOptions {
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  /** Decoupled decay, applied to every parameter: biases, norms and embeddings too. */
  weightDecay?: number;
}

/** First and second moments of the gradient, per leaf, and the number of updates made. */
export interface AdamWState {
  first: Leaves;
  second: Leaves;
  step: number;
}

/** Moments of zero for every leaf. */
export function adamWInit(parameters: Leaves): AdamWState {
  const zeros = (): Leaves =>
    Object.fromEntries(
      Object.entries(parameters).map(([name, leaf]) => [name, tf.zerosLike(leaf)]),
    );
  return { first: zeros(), second: zeros(), step: 0 };
}

/**
 * One AdamW update (Loshchilov and Hutter 2019) with the papers' constants as defaults: betas
 * (0.9, 0.95), epsilon 1e-8, weight decay 1e-4. Pure: the new leaves and moments are new tensors.
 *
 * @param learningRate a number, or a scalar tensor where the update is captured as a graph
 * @param corrections 1 − β₁ᵗ and 1 − β₂ᵗ for the number t of this update, likewise
 */
export function adamWUpdate(
  parameters: Leaves,
  gradient: Leaves,
  moments: { first: Leaves; second: Leaves },
  learningRate: number | tf.Scalar,
  corrections: { first: number | tf.Scalar; second: number | tf.Scalar },
  options: AdamWOptions = {},
): { parameters: Leaves; first: Leaves; second: Leaves } {
  const { beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weightDecay = 1e-4 } = options;
  const updated = { parameters: {} as Leaves, first: {} as Leaves, second: {} as Leaves };
  const step = tf.div(learningRate, corrections.first);
  const secondScale = tf.sqrt(corrections.second);
  const keep = tf.sub(1, tf.mul(learningRate, weightDecay));
  for (const [name, leaf] of Object.entries(parameters)) {
    const g = gradient[name] as tf.Tensor;
    const first = tf.add(tf.mul(moments.first[name] as tf.Tensor, beta1), tf.mul(g, 1 - beta1));
    const second = tf.add(
      tf.mul(moments.second[name] as tf.Tensor, beta2),
      tf.mul(tf.square(g), 1 - beta2),
    );
    const scale = tf.add(tf.div(tf.sqrt(second), secondScale), epsilon);
    updated.parameters[name] = tf.sub(tf.mul(leaf, keep), tf.mul(step, tf.div(first, scale)));
    updated.first[name] = first;
    updated.second[name] = second;
  }
  return updated;
}

/** 1 − β₁ᵗ and 1 − β₂ᵗ for update number t, counted from 1. */
export function biasCorrections(
  t: number,
  options: AdamWOptions = {},
): { first: number; second: number } {
  const { beta1 = 0.9, beta2 = 0.95 } = options;
  return { first: 1 - beta1 ** t, second: 1 - beta2 ** t };
}
