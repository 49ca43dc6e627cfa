import { tf, tidy } from '../../src/core/tf.js';

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

/** How the factor by which an iteration shrinks the error changes from its start to its end. */
export interface ConvergenceRate {
  /** Geometric mean of the factors in the first third of the iterations that are counted. */
  early: number;
  /** The same in the last third. */
  late: number;
  /** The factors that are counted: those above rounding. */
  count: number;
  /**
   * True where the errors reached rounding before the last tenth of the iterates: near their least, and
   * falling no more as they did before.
   */
  ended: boolean;
}

/** Well above the least error: a long chain of tokens amplifies rounding, so it differs by block. */
const floorOfRounding = (errors: readonly number[]): number => 5 * Math.min(...errors);

/**
 * The factors e_{k+1} / e_k of an iteration, as long as errors are well above rounding (five times
 * the least error). The first iteration, from a start far away, is left out.
 *
 * @param errors by iterate, the start first
 */
function errorFactors(errors: readonly number[]): number[] {
  const floor = floorOfRounding(errors);
  return errors.flatMap((error, k) => {
    const next = errors[k + 1];
    return k > 0 && next !== undefined && next > floor ? [next / error] : [];
  });
}

/** The geometric mean; NaN of no values. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/**
 * Whether an iteration converges superlinearly, as far as float32 shows it: its factors at the
 * beginning and at the end.
 *
 * @param errors by iterate, the start first
 */
export function convergenceRate(errors: readonly number[]): ConvergenceRate {
  const factors = errorFactors(errors);
  const third = Math.max(1, Math.floor(factors.length / 3));
  const tail = errors.slice(Math.floor(0.9 * errors.length));
  const [nearTheEnd = Number.NaN, last = Number.NaN] = [tail[0], tail.at(-1)];
  const steps = Math.max(1, tail.length - 1);
  const isFlat = Math.log(last / nearTheEnd) / steps > Math.log(geometricMean(factors)) / 2;
  return {
    early: geometricMean(factors.slice(0, third)),
    late: geometricMean(factors.slice(-third)),
    count: factors.length,
    ended: nearTheEnd <= floorOfRounding(errors) && isFlat,
  };
}
