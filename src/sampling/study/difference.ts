import { tf, tidy } from '../../core/tf.js';

/** How far numbers are from those that they should be. */
export interface Difference {
  /** The largest of the absolute differences. */
  largest: number;
  rootMeanSquare: number;
}

/** The root of the mean square of all numbers of a tensor. */
export function rootMeanSquare(values: tf.Tensor): number {
  return onHost(() => [tf.sqrt(tf.mean(tf.square(values)))])[0] as number;
}

/**
 * The difference of two tensors of one shape, for example of samples by two solvers.
 * @returns numbers that are not finite where one of the tensors has such
 */
export function differenceOf(found: tf.Tensor, exact: tf.Tensor): Difference {
  const [largest, mean] = onHost(() => {
    const difference = tf.sub(found, exact);
    return [tf.max(tf.abs(difference)), tf.sqrt(tf.mean(tf.square(difference)))];
  }) as [number, number];
  return { largest, rootMeanSquare: mean };
}

function onHost(compute: () => tf.Tensor[]): number[] {
  const together = tidy(() => tf.stack(compute()));
  try {
    return Array.from(together.dataSync());
  } finally {
    together.dispose();
  }
}
