import type { Experiment } from '../../training/experiment.js';
import type { VaeConfig } from './config.js';

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

/** What there is to train of this family. */
export const vaeExperiments: readonly Experiment[] = [emojiVae, emojiVaeNoisy];
