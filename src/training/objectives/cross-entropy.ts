import { tensorSpec } from '@tarflow/graph';
import { tf } from '../../core/tf.js';
import { leaf, type Tree } from '../../core/tree.js';
import type { Model, ModelConfig, Objective } from '../../flow/model.js';
import { noisyImageFeeds } from '../batches/index.js';

/**
 * Cross-entropy of images' classes, in nats. Its term `accuracy` is the share of images whose class
 * has the largest logit.
 *
 * @param logits of images (batch, channels, height, width): (batch, classes)
 */
export function crossEntropy<C extends ModelConfig, P extends Tree>(
  logits: (model: Model<C, P>, images: tf.Tensor4D) => tf.Tensor2D,
): Objective<C, P> {
  return {
    name: 'crossEntropy',
    inputs: ({ image, classes }, batch) => ({
      images: tensorSpec([batch, image.channels, image.height, image.width]),
      classes: tensorSpec([batch, classes]),
    }),
    feeds: noisyImageFeeds,
    trains: () => true,
    loss(model, batch) {
      const found = logits(model, leaf(batch, 'images', 4));
      const classes = leaf(batch, 'classes', 2);
      const right = tf.equal(tf.argMax(found, 1), tf.argMax(classes, 1));
      return {
        loss: tf.neg(tf.mean<tf.Scalar>(tf.sum(tf.mul(classes, tf.logSoftmax(found)), 1))),
        terms: { accuracy: tf.mean(tf.cast(right, 'float32')) },
      };
    },
  };
}
