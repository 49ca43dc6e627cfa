import { tf } from '../backend/tf.js';
import { dimensions } from '../flow/config.js';
import type { Label } from '../flow/labels.js';
import { logProb, type TarFlow } from '../flow/tarflow.js';

/**
 * Bits per dimension of dequantised images: −log₂ p per dimension, plus 7 bits since a grey level
 * is 2/256 wide on the scale [−1, 1] (log₂ 128 = 7).
 *
 * @param x images with uniform dequantisation noise (batch, channels, height, width)
 * @returns per sample (batch)
 */
export function bitsPerDimension(flow: TarFlow, x: tf.Tensor4D, label?: Label): tf.Tensor1D {
  return tf.tidy(() => {
    const nats = tf.div(tf.neg(logProb(flow, x, label)), dimensions(flow.config));
    return tf.div(tf.add(nats, Math.log(128)), Math.LN2) as tf.Tensor1D;
  });
}
