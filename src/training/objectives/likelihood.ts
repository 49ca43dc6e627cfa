import { tensorSpec } from '@tarflow/graph';
import type { Conditioned } from '../../conditions/context.js';
import { mixtureWidth } from '../../conditions/labels.js';
import { tf, tidy } from '../../core/tf.js';
import { leaf } from '../../core/tree.js';
import { flowLoss } from '../../flow/density.js';
import type { ModelConfig, Objective } from '../../flow/model.js';
import { ability } from '../../flow/model.js';
import { noisyImageFeeds } from '../batches/index.js';

export interface LikelihoodOptions {
  /**
   * True to keep the variance of the latent, the buffer `var` (T, D), as a running mean: that of the
   * prior in a volume-preserving flow.
   */
  runningVariance?: boolean;
}

/**
 * Exact likelihood of noisy images under a flow with a standard normal prior (TarFlow, eq. 6): the
 * loss is ½·mean z² − mean log-determinant, nats per dimension without the ½·log 2π. Its terms are
 * those of {@link flowLoss}.
 */
export function likelihood({ runningVariance = false }: LikelihoodOptions = {}): Objective {
  return {
    name: 'likelihood',
    inputs: ({ image, ...config }: ModelConfig & Conditioned, batch) => ({
      images: tensorSpec([batch, image.channels, image.height, image.width]),
      ...(config.classes > 0 && { classes: tensorSpec([batch, mixtureWidth(config)]) }),
      ...(config.text && { text: tensorSpec([batch, config.text.entries, config.text.width]) }),
    }),
    feeds: noisyImageFeeds,
    trains: () => true,
    loss(model, batch) {
      const { forward } = ability(model.family, 'flow');
      const conditions = {
        classes: batch.classes && leaf(batch, 'classes', 2),
        text: batch.text && leaf(batch, 'text', 3),
      };
      const result = forward(model, leaf(batch, 'images', 4), conditions);
      const { loss, ...terms } = flowLoss(model, result);
      if (!runningVariance) return { loss, terms };
      const variance = updatedVariance(leaf(model.buffers, 'var', 2), result.z);
      return { loss, terms, buffers: { var: variance } };
    },
  };
}

/**
 * The prior's variance after a step of its running mean: v + 0.1·(mean z² − v). Used in training
 * volume-preserving models only.
 *
 * @returns a new (T, D) tensor; the caller frees the old one
 */
export function updatedVariance(variance: tf.Tensor2D, z: tf.Tensor3D): tf.Tensor2D {
  return tidy(() => tf.add(variance, tf.mul(tf.sub(tf.mean(tf.square(z), 0), variance), 0.1)));
}
