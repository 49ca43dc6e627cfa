/** The one door to TensorFlow.js in this package. */
import * as tf from '@tensorflow/tfjs-core';

export { tf };

/** `tf.tidy` with the type of its result kept. */
export function tidy<T>(f: () => T): T {
  return tf.tidy(f as () => tf.TensorContainer) as T;
}
