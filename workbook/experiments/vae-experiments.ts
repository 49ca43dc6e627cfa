import type { VaeConfig } from '../../src/models/vae/config.js';
import type { Experiment } from '../../src/training/experiment.js';

/**
 * Latents of emoji: 64×64 pixels of both vendors to 16×16 places of 8 numbers, a sixth of the pixels'
 * numbers. Names that are held out for composition are not seen here either. An image takes 2.7·10⁹
 * floating-point operations forwards, and three times that with its gradient; the 5,100 steps of 16
 * images are 6.6·10¹⁴, an hour of two cores, or less where they have bfloat16.
 */
const emojiVae: Experiment<VaeConfig> = {
  name: 'emoji-vae',
  description: 'An autoencoder of emoji 64×64 by Google and Twitter: latents for flows',
  dataset: 'emoji-composed-64',
  config: {
    kind: 'vae',
    image: { channels: 3, height: 64, width: 64 },
    classes: 0,
    channels: [32, 64, 128],
    resnetsPerLevel: 1,
    groups: 8,
    latentChannels: 8,
    midAttention: true,
    loss: { trained: 'all', kl: 1e-4, squares: 0, features: 0.1 },
  },
  settings: {
    noise: { kind: 'none' },
    batchSize: 16,
    steps: 5100,
    peakLearningRate: 1e-3,
    warmupSteps: 300,
    dropLabel: 0,
    weightDecay: 1e-4,
    clipNorm: 1,
    averageDecay: 0.999,
    flip: true,
    precision: 'bfloat16',
    seed: 1,
    validateEvery: 500,
    validationImages: 128,
    saveEvery: 250,
  },
};

/**
 * The same autoencoder with a decoder that reads noisy latents (Gu et al. 2025, arXiv 2506.06276): the
 * noise that a flow is trained with, 0.3 of the latents' deviation, is taken away by decoding. It
 * begins with the other one (`--from`), whose encoder stays as it is and has no gradient.
 */
const emojiVaeNoisy: Experiment<VaeConfig> = {
  name: 'emoji-vae-noisy',
  description: 'Its decoder goes on (--from) with noise of 0.3 on the latents, its encoder stays',
  dataset: 'emoji-composed-64',
  config: {
    ...emojiVae.config,
    loss: { trained: 'decoder', kl: 0, squares: 0, features: 0.1, latentNoise: 0.3 },
  },
  settings: {
    ...emojiVae.settings,
    steps: 1700,
    peakLearningRate: 5e-4,
    warmupSteps: 100,
    seed: 2,
  },
};

/**
 * Latents of larger emoji, 256×256: 32×32 places of 8 numbers, a 24th of the pixels' numbers. A step on
 * images of this size takes four times one on images of 128×128, and the networks are convolutional: so
 * `fluent-vae-128` learns on the smaller ones, and `fluent-vae` goes on with the larger (`--from`).
 */
const fluentVae128: Experiment<VaeConfig> = {
  ...emojiVae,
  name: 'fluent-vae-128',
  description:
    'An autoencoder of Microsoft’s emoji at half their size: what fluent-vae begins with',
  dataset: 'emoji-fluent-128',
  config: {
    ...emojiVae.config,
    image: { channels: 3, height: 128, width: 128 },
    channels: [16, 32, 64, 128],
  },
  settings: { ...emojiVae.settings, steps: 4000, validationImages: 64 },
};

const fluentVae: Experiment<VaeConfig> = {
  ...fluentVae128,
  name: 'fluent-vae',
  description:
    'It goes on (--from fluent-vae-128) with Microsoft’s emoji of 256×256: latents for flows',
  dataset: 'emoji-fluent-256',
  config: { ...fluentVae128.config, image: { channels: 3, height: 256, width: 256 } },
  settings: {
    ...fluentVae128.settings,
    ...{ batchSize: 8, steps: 1000, peakLearningRate: 4e-4, warmupSteps: 50, seed: 2 },
    ...{ validateEvery: 250, validationImages: 32 },
  },
};

/** Its decoder reads noisy latents, as that of `emoji-vae-noisy` does. */
const fluentVaeNoisy: Experiment<VaeConfig> = {
  ...fluentVae,
  name: 'fluent-vae-noisy',
  description: 'Its decoder goes on (--from fluent-vae) with noise of 0.3 on the latents',
  config: {
    ...fluentVae.config,
    loss: { trained: 'decoder', kl: 0, squares: 0, features: 0.1, latentNoise: 0.3 },
  },
  settings: { ...fluentVae.settings, steps: 700, seed: 3 },
};

/** What there is to train of this family. */
export const vaeExperiments: readonly Experiment[] = [
  emojiVae,
  emojiVaeNoisy,
  fluentVae128,
  fluentVae,
  fluentVaeNoisy,
];
