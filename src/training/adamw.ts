import type { AdamWOptions } from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import type { Leaves } from '../backend/tree.js';

export { type AdamWOptions, adamWUpdate } from '../backend/program/index.js';

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

/** 1 − β₁ᵗ and 1 − β₂ᵗ for update number t, counted from 1. */
export function biasCorrections(
  t: number,
  options: AdamWOptions = {},
): { first: number; second: number } {
  const { beta1 = 0.9, beta2 = 0.95 } = options;
  return { first: 1 - beta1 ** t, second: 1 - beta2 ** t };
}
