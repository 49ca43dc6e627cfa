/** The one door to TensorFlow.js: everything outside `backend/` imports `tf` from here. */
import * as tf from '@tensorflow/tfjs-core';

export { tf };

/**
 * Runs `f` and frees every tensor made in it except those in its result: a tensor, or any nesting
 * of records and arrays with tensors in it, among numbers, strings or `undefined`. It is `tf.tidy`
 * with the type of the result kept. Tensors in a `Map` or `Set` are not found, so they are freed.
 *
 * @param f synchronous
 */
export function tidy<T>(f: () => T): T {
  return tf.tidy(f as () => tf.TensorContainer) as T;
}
