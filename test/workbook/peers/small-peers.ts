import { foldIn, normal, randomKey, tf } from '../../../src/core/index.js';
import { disposeTree, mapTree, type Tree } from '../../../src/core/tree.js';
import type { Family, Model, ModelConfig } from '../../../src/flow/model.js';
import { freshModel } from '../../../src/flow/state-dict.js';
import type { DiffusionConfig } from '../../../workbook/peers/diffusion.js';
import type { GanConfig } from '../../../workbook/peers/gan.js';
import type { PixelVaeConfig } from '../../../workbook/peers/pixel-vae.js';
import type { PixelCnnConfig } from '../../../workbook/peers/pixelcnn.js';

/** That of the images that tests make up. */
const image = { channels: 1, height: 4, width: 4 };

export const smallDiffusion: DiffusionConfig = {
  kind: 'diffusion',
  image,
  patchSize: 2,
  channels: 8,
  layers: 2,
  headWidth: 4,
  classes: 3,
  prediction: 'v',
};

export const smallPixelCnn: PixelCnnConfig = {
  kind: 'pixelcnn',
  image,
  channels: 6,
  layers: 2,
  components: 3,
  classes: 3,
};

export const smallVae: PixelVaeConfig = {
  kind: 'pixel-vae',
  image,
  channels: [4, 8],
  resnetsPerLevel: 1,
  groups: 2,
  lowestChannels: 3,
  latent: 5,
  beta: 1,
  classes: 3,
};

export const smallGan: GanConfig = {
  kind: 'gan',
  image,
  latent: 5,
  channels: [4, 8],
  groups: 2,
  penalty: 2,
  classes: 3,
};

/** A model whose parameters are all moved at random from where they begin. */
export function lively<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
  deviation = 0.2,
): Model<C, P> {
  const fresh = freshModel(family, config, 1);
  const parameters = mapTree(fresh.parameters, (leaf, name) =>
    tf.tidy(() => {
      const noise = tf.tensor(normal(foldIn(randomKey(3), name), leaf.size), leaf.shape);
      return tf.add(leaf, tf.mul(noise, deviation));
    }),
  );
  disposeTree(fresh.parameters);
  return { ...fresh, parameters };
}

/** Images (batch, channels, height, width) of random grey levels. */
export function greyLevels({ image: { channels, height, width } }: ModelConfig, batch: number) {
  const size = channels * height * width;
  const levels = normal(randomKey(9), batch * size).map((x) =>
    Math.min(255, Math.max(0, Math.round(127.5 + 60 * x))),
  );
  const pixels = levels.map((k) => k / 127.5 - 1);
  return tf.tensor4d(pixels, [batch, channels, height, width]);
}
