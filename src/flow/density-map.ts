import { contextTensors, type NamedContext, numbered } from '../conditions/context.js';
import { tf, tidy } from '../core/tf.js';
import { type Background, spreadBackground } from './background.js';
import { halfLog2Pi } from './density.js';
import { blockForward, predictAll } from './forward.js';
import { ability, blocksOf, checkPixels, type Model } from './model.js';

/**
 * What each patch contributes to log p(x), in nats: the log-density of its noise, and its
 * log-determinants in all blocks. A block predicts a patch from those before it in the block's order, so a
 * contribution says how expected a patch is beside the others. The sum over an image is log p(x).
 *
 * @param x images (batch, channels, height, width)
 * @returns (batch, channels, height, width), a patch's contribution spread evenly over its numbers; the
 *   caller frees it
 * @throws UserError where the images or labels do not fit the model, for pixels far from [−1, 1], and for a
 *   model without autoregressive blocks
 */
export function logProbMap(model: Model, x: tf.Tensor4D, context: NamedContext = {}): tf.Tensor4D {
  return tidy(() => {
    const { family, config }: Model & { config: { background?: Background } } = model;
    const tokens = ability(family, 'tokens');
    checkPixels(model, x);
    const conditions = contextTensors(config, numbered(model, context), x.shape[0]);
    const { background } = config;
    // Cuts numbers that are no pixels.
    const plain = { ...config, background: undefined };
    let { tokens: z } = tokens.of(config, x);
    let nats = tf.zerosLike(z);
    if (background !== undefined) {
      const slopes = tf.grad((own: tf.Tensor4D) => spreadBackground(background, own).y)(x);
      nats = tokens.of(plain, tf.log(slopes)).tokens;
    }
    for (const block of blocksOf(model)) {
      const { logScale } = predictAll(block, block.order(z), conditions);
      if (logScale) {
        // A token that nothing precedes passes through.
        const all = tf.concat([tf.zeros([x.shape[0], block.given, block.width]), logScale], 1);
        nats = tf.sub(nats, block.order(all, true));
      }
      z = blockForward(block, z, conditions).z;
    }
    const variance = family.prior?.variance?.(model) ?? tf.ones(z.shape);
    const prior = tf.add(tf.div(tf.square(z), variance), tf.log(variance));
    nats = tf.sub(nats, tf.add(tf.mul(prior, 0.5), halfLog2Pi));
    return tokens.images(plain, tf.tile(tf.mean(nats, 2, true), [1, 1, z.shape[2]]));
  });
}
