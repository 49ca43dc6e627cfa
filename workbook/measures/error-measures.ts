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
export function errorFactors(errors: readonly number[]): number[] {
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

/**
 * The largest entry of a Jacobian (T·D, T·D) on and above the diagonal of tokens, by size: 0 where
 * no token depends on itself or on a later one.
 */
export function largestOutside(jacobian: tf.Tensor2D, tokens: number): number {
  const [size] = jacobian.shape;
  const token = (at: number) => Math.floor(at / (size / tokens));
  return jacobian
    .dataSync<'float32'>()
    .reduce(
      (largest, value, i) =>
        token(i % size) >= token(Math.floor(i / size))
          ? Math.max(largest, Math.abs(value))
          : largest,
      0,
    );
}

/** log₁₀ of the powers of a matrix, for k = 1, 2, …; −∞ where nothing is left. */
export interface PowerNorms {
  /** Of the Frobenius norm of the k-th power. */
  norms: number[];
  /** Of its largest entry, by size. */
  entries: number[];
}

/**
 * The size of the powers J, J², … of a square matrix. Each power is scaled before the next, or
 * float32 could not hold the last ones.
 *
 * @param count of powers
 */
export function powerNorms(matrix: tf.Tensor2D, count: number): PowerNorms {
  const norms: number[] = [];
  const entries: number[] = [];
  let power = matrix.clone();
  let scale = 0;
  for (let k = 1; k <= count; k++) {
    const [largest = Number.NaN, norm = Number.NaN] = tidy(() => {
      const entry = tf.max(tf.abs(power));
      return tf.stack([entry, tf.norm(tf.divNoNan(power, entry))]).dataSync();
    }) as Float32Array;
    scale += Math.log10(largest);
    entries.push(scale);
    norms.push(scale + Math.log10(norm));
    const next = tidy(() => tf.matMul<tf.Tensor2D>(tf.divNoNan(power, largest), matrix));
    power.dispose();
    power = next;
  }
  power.dispose();
  return { norms, entries };
}
