import { tf, tidy } from '../../core/tf.js';

/**
 * The largest entry of a Jacobian (T·D, T·D) on and above the diagonal of tokens, by size: 0 where
 * no token depends on itself or on a later one.
 */
export function largestOutside(jacobian: tf.Tensor2D, tokens: number): number {
  const [size] = jacobian.shape;
  const token = (at: number) => Math.floor(at / (size / tokens));
  return (jacobian.dataSync() as Float32Array).reduce(
    (largest, value, i) =>
      token(i % size) >= token(Math.floor(i / size)) ? Math.max(largest, Math.abs(value)) : largest,
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
    const next = tidy(() => tf.matMul(tf.divNoNan(power, largest), matrix)) as tf.Tensor2D;
    power.dispose();
    power = next;
  }
  power.dispose();
  return { norms, entries };
}
