/** The one door to TensorFlow.js: everything outside `backend/` imports `tf` from here. */
import * as tf from './ranked.js';

/**
 * TensorFlow.js: tensors, operations on them, gradients. They compute on the engine that runs.
 *
 * @example
 * ```ts
 * import { startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const x = tf.tensor2d([[1, 2], [3, 4]]);
 * tf.matMul(x, x).print();
 * ```
 */
export { tf };

/**
 * Runs `f` and frees every tensor made in it except those in its result: a tensor, or any nesting
 * of records and arrays with tensors in it, among numbers, strings or `undefined`. It is `tf.tidy`
 * with the type of the result kept. Tensors in a `Map` or `Set` are not found, so they are freed.
 *
 * @param f synchronous
 *
 * @example
 * ```ts
 * import { startEngine, tf, tidy } from 'tarflow';
 *
 * await startEngine();
 * const { mean, size } = tidy(() => {
 *   const x = tf.range(0, 12);
 *   return { mean: tf.mean(x), size: x.size };
 * });
 * console.log(mean.dataSync(), size); // Float32Array(1) [ 5.5 ] 12
 * ```
 */
export function tidy<T>(f: () => T): T {
  return tf.tidy(f as () => tf.TensorContainer) as T;
}

/**
 * A function of tensors with a gradient that is written by hand.
 *
 * @param inputs what it is a function of
 * @param value its value, and the tensors that the gradient is computed from
 * @param gradient from that of the value, dy, and those tensors to that of each input
 */
export function withGradient<
  X extends readonly tf.Tensor[],
  Y extends tf.Tensor,
  S extends readonly tf.Tensor[],
>(
  inputs: readonly [...X],
  value: (...inputs: X) => { value: Y; saved: readonly [...S] },
  gradient: (dy: Y, saved: S) => tf.Tensor[],
): Y {
  const differentiable = tf.customGrad((...parts) => {
    const save = parts.pop() as tf.GradSaveFunc;
    const made = value(...(parts as unknown as X));
    save([...made.saved]);
    const gradFunc = (dy: Y, saved: tf.Tensor[]) => gradient(dy, saved as unknown as S);
    return { value: made.value, gradFunc };
  });
  return differentiable(...inputs);
}
