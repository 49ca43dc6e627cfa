import { tensorSpec } from '../../backend/program/index.js';
import { tf } from '../../backend/tf.js';
import type { Tree } from '../../backend/tree.js';
import type { FlowAbility, Model, ModelConfig, Objective } from '../../flow/model.js';
import { noisyImageFeeds } from '../feeds.js';

export interface LikelihoodOptions {
  /**
   * True to keep the variance of the latent, the buffer `var` (T, D), as a running mean: that of the
   * prior in a volume-preserving flow.
   */
  runningVariance?: boolean;
}

/**
 * Exact likelihood of noisy images under a flow with a standard normal prior (TarFlow, eq. 6): the
 * loss is ½·mean z² − mean log-determinant, nats per dimension without the ½·log 2π. Terms: `prior`
 * and `logDet`, the two means, and `meanSquares`, the mean square of each block's output, which tends
 * to 1.
 */
export function likelihood<C extends ModelConfig, P extends Tree>(
  flow: FlowAbility<C, P>,
  { runningVariance = false }: LikelihoodOptions = {},
): Objective<C, P> {
  return {
    name: 'likelihood',
    inputs: ({ image, classes }, batch) => ({
      images: tensorSpec([batch, image.channels, image.height, image.width]),
      ...(classes > 0 && { classes: tensorSpec([batch, classes]) }),
    }),
    feeds: noisyImageFeeds,
    trains: () => true,
    loss(model, batch) {
      const classes = batch.classes as tf.Tensor2D | undefined;
      const result = flow.forward(model, batch.images as tf.Tensor4D, { classes });
      const { channels, height, width } = model.config.image;
      const meanSquares = tf.stack(result.outputs.map((output) => tf.mean(tf.square(output))));
      const prior = tf.mul(tf.mean(tf.square(result.z)), 0.5);
      const logDet = tf.div(tf.mean(result.logDet), channels * height * width);
      return {
        loss: tf.sub(prior, logDet) as tf.Scalar,
        terms: { prior, logDet, meanSquares },
        ...(runningVariance && { buffers: { var: updatedVariance(model, result.z) } }),
      };
    },
  };
}

/** A step of the running mean, v + 0.1·(mean z² − v), as the published code takes it. */
function updatedVariance({ buffers }: Pick<Model, 'buffers'>, z: tf.Tensor3D): tf.Tensor {
  const variance = buffers.var as tf.Tensor2D;
  return tf.add(variance, tf.mul(tf.sub(tf.mean(tf.square(z), 0), variance), 0.1));
}
