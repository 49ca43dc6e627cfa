import { tensorSpec } from '../../backend/program/index.js';
import { foldIn, uniform } from '../../backend/random.js';
import { tf, tidy } from '../../backend/tf.js';
import { mixtureRows } from '../../conditions/labels.js';
import { ability, flowLoss } from '../../flow/flow.js';
import type { Feeds, Objective } from '../../flow/model.js';
import { noisyImages } from '../noise.js';

/**
 * Maximum likelihood of a flow: ½·mean z² − the mean log-determinant per dimension (TarFlow, eq. 6).
 *
 * @param options `runningVariance`: whether training follows the variance of the latents, `var`
 */
export function likelihood({
  runningVariance = false,
}: {
  runningVariance?: boolean;
} = {}): Objective {
  return {
    name: 'likelihood',
    inputs: ({ image, classes }, batch) => ({
      images: tensorSpec([batch, image.channels, image.height, image.width]),
      ...(classes > 0 && { classes: tensorSpec([batch, classes]) }),
    }),
    feeds: ({ classes }, raw, keys, { noise, dropLabel }): Feeds => {
      const size = raw.values.length / raw.count;
      const images = new Float32Array(raw.values.length);
      keys.forEach((key, sample) => {
        const pixels = raw.values.subarray(sample * size, (sample + 1) * size) as Uint8Array;
        if (noise.kind !== 'none') {
          images.set(noisyImages(pixels, noise, foldIn(key, 'noise')), sample * size);
        }
      });
      if (classes === 0) return { images };
      const kept = raw.labels.map((label, sample) => {
        const [draw] = uniform(foldIn(keys[sample] as (typeof keys)[number], 'drop label'), 1);
        return (draw as number) < dropLabel ? -1 : label;
      });
      return { images, classes: mixtureRows(kept, raw.count, classes) };
    },
    trains: () => true,
    loss(model, { images, classes }) {
      const { forward } = ability(model.family, 'flow');
      const conditions = { classes: classes as tf.Tensor2D | undefined };
      const result = forward(model, images as tf.Tensor4D, conditions);
      const { loss, ...terms } = flowLoss(model, result);
      if (!runningVariance) return { loss, terms };
      const variance = updatedVariance(model.buffers.var as tf.Tensor2D, result.z);
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
