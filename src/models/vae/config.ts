import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { checkedConfig } from '../../core/schema.js';
import type { ImageSize } from '../../data/source.js';
import { count, imageSchema } from '../../flow/model.js';

const weight = z.number().min(0);

const lossSchema = z.strictObject({
  /** `decoder` leaves the encoder, and so the latents, as they are. */
  trained: z.enum(['all', 'decoder']),
  /** Weight of the divergence of the posterior from a standard normal, nats per number of a latent. */
  kl: weight,
  /** Weight of the mean square error beside the mean absolute one. */
  squares: weight,
  /** Weight of the distance of features of EfficientNet-Lite0; 0 to do without them. */
  features: weight,
  /**
   * Standard deviation of the noise that is added to the means of the latents, as a share of the standard
   * deviation of those means over the batch. Absent: the decoder reads draws of the posterior, or, where it
   * alone is trained, the means.
   */
  latentNoise: weight.optional(),
});

/** What a {@link VaeConfig} is trained by. */
export interface VaeLoss extends z.infer<typeof lossSchema> {}

export const vaeSchema = z.strictObject({
  kind: z.literal('vae'),
  /**
   * The images that it is trained on. Being convolutional, it takes those of any size whose sides can
   * be halved as often as it has levels, less one.
   */
  image: imageSchema,
  /** None are read. */
  classes: z.literal(0),
  /** Channels of each level, that of the pixels first. Between two levels sides are halved. */
  channels: z.array(count).min(1),
  /** Residual blocks of a level in the encoder; the decoder has one more. */
  resnetsPerLevel: count,
  /** Groups of a normalisation; divides all channels. */
  groups: count,
  /** Channels of the latents. */
  latentChannels: count,
  /** True for attention of all places to each other, with one head, at the lowest level. */
  midAttention: z.boolean(),
  /**
   * What latents are multiplied by to have unit variance; absent where it is not known, as before
   * training.
   */
  scalingFactor: z.number().positive().optional(),
  /** How it is trained. A run may begin with a model that was trained otherwise. */
  loss: lossSchema,
});

/**
 * The shape of a variational autoencoder (Kingma and Welling 2013, arXiv 1312.6114), whose networks
 * are those of latent diffusion (Rombach et al. 2022, arXiv 2112.10752): `AutoencoderKL` of diffusers.
 */
export interface VaeConfig extends z.infer<typeof vaeSchema> {}

/** How many pixels a place of a latent is wide and high. */
export function shrinkage({ channels }: Pick<VaeConfig, 'channels'>): number {
  return 2 ** (channels.length - 1);
}

/**
 * The size of the latents of images.
 * @throws UserError for images of other channels, or of sides that cannot be halved so often
 */
export function latentsOf(config: VaeConfig, image: ImageSize): ImageSize {
  const side = shrinkage(config);
  const { channels, height, width } = image;
  if (channels !== config.image.channels || height % side !== 0 || width % side !== 0) {
    throw new UserError(
      `Images of ${channels}×${height}×${width} (channels × height × width) came`,
      `This autoencoder takes ${config.image.channels} channels and sides that ${side} divides`,
    );
  }
  return { channels: config.latentChannels, height: height / side, width: width / side };
}

/**
 * The size of the images of latents.
 * @throws UserError for latents of other channels
 */
export function imagesOf(config: VaeConfig, latents: ImageSize): ImageSize {
  const side = shrinkage(config);
  if (latents.channels !== config.latentChannels) {
    throw new UserError(
      `Latents of ${latents.channels} channels came`,
      `This autoencoder has latents of ${config.latentChannels}`,
    );
  }
  const { height, width } = latents;
  return { channels: config.image.channels, height: height * side, width: width * side };
}

/**
 * Checks a configuration.
 * @throws UserError that names the value that does not fit, and what would
 */
export function checkVae(config: VaeConfig): VaeConfig {
  checkedConfig(vaeSchema, config);
  const { channels, groups, loss } = config;
  const uneven = channels.find((width) => width % groups !== 0);
  if (uneven !== undefined) {
    throw new UserError(
      `Levels have [${channels.join(', ')}] channels, in ${groups} groups`,
      `Choose groups that divide ${uneven}`,
    );
  }
  latentsOf(config, config.image);
  if (loss.trained === 'decoder' && loss.kl > 0) {
    throw new UserError(
      `loss.kl is ${loss.kl} where the decoder alone is trained`,
      'The divergence is of the encoder: set loss.kl=0',
    );
  }
  return config;
}

/** An autoencoder's name in tables: channels of the levels, residual blocks, channels of latents. */
export function vaeTitle({ channels, resnetsPerLevel, latentChannels }: VaeConfig): string {
  return [...channels, resnetsPerLevel, latentChannels].join('-');
}
