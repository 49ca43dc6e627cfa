import { traceInPlace } from '@tarflow/graph';
import { tf } from '../../core/tf.js';

/** The numbers of an AdamW update, with the corrections of both moments in them. */
export interface AdamWRates {
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
export type AdamWState = readonly [tf.Tensor, tf.Tensor, tf.Tensor];

/**
 * While a function is traced: records an AdamW update as one pass over the memory of the variables
 * (TensorFlow's ResourceApplyAdam). The state has to be variables of the program, and the result has
 * to be among the function's updates. Undefined when nothing is traced.
 */
export function fusedAdamW(
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
