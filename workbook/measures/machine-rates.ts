import { tf } from '../../src/core/tf.js';

/**
 * Operations a second of float32 products of large matrices, on the device that runs: what a training
 * reaches at most, about. It takes a fraction of a second.
 */
export function productRate(side = 1024): number {
  const a = tf.randomUniform([side, side]);
  try {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 4; i++) {
      const begun = performance.now();
      const made = tf.matMul(a, a);
      made.dataSync();
      made.dispose();
      least = Math.min(least, (performance.now() - begun) / 1000);
    }
    return (2 * side ** 3) / least;
  } finally {
    a.dispose();
  }
}
