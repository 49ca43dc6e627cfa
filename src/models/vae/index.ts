import type { ImageSize } from '../../data/source.js';
import type { Family, Model } from '../../flow/model.js';
import {
  checkVae,
  imagesOf,
  latentsOf,
  shrinkage,
  type VaeConfig,
  vaeSchema,
  vaeTitle,
} from './config.js';
import { decoded, encoded } from './networks.js';
import { reconstruction } from './objective.js';
import { published, type VaeParameters, vaeSpecs } from './parameters.js';

/**
 * A variational autoencoder of images (Kingma and Welling 2013, arXiv 1312.6114), with the networks of
 * latent diffusion (Rombach et al. 2022, arXiv 2112.10752).
 */
export type Vae = Model<VaeConfig, VaeParameters>;

/**
 * The family of autoencoders, which give flows the latents that they are trained on.
 *
 * @example
 * ```ts
 * import { vae } from 'tarflow/models';
 *
 * const size = { channels: [16, 32], resnetsPerLevel: 1, groups: 8, latentChannels: 4 };
 * const loss = { trained: 'all', kl: 1e-6, squares: 1, features: 0 } as const;
 * const image = { channels: 3, height: 32, width: 32 };
 * const config = { kind: 'vae', image, classes: 0, ...size, midAttention: false, loss } as const;
 * console.log(vae.autoencoder?.latents(config, image)); // 4 channels of 16×16
 * ```
 */
export const vae: Family<VaeConfig, VaeParameters> = {
  kind: 'vae',
  schema: vaeSchema,
  check: checkVae,
  title: vaeTitle,
  specs: vaeSpecs,
  // Being convolutional, it may go on with images of another size.
  trainingFields: ['loss', 'image.height', 'image.width'],
  objectives: (config) => [reconstruction(config)],
  autoencoder: {
    encode: ({ config, parameters }, images) => encoded(config, parameters, images),
    decode: ({ config, parameters }, latents) => decoded(config, parameters, latents),
    latents: latentsOf,
    images: imagesOf,
    activation: largestActivation,
    scale: ({ scalingFactor }) => scalingFactor,
    latentNoise: ({ loss }) => loss.latentNoise,
  },
  published,
};

/** Behind a doubling there are as many channels as before it; and attention has a number a pair. */
function largestActivation(config: VaeConfig, { height, width }: ImageSize): number {
  const { channels, midAttention } = config;
  const levels = channels.map((own, level) => {
    const wide = Math.max(own, channels[level + 1] ?? own);
    return (wide * height * width) / 4 ** level;
  });
  const places = (height * width) / shrinkage(config) ** 2;
  return Math.max(...levels, midAttention ? places ** 2 : 0);
}
