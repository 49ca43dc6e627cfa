import type { ClassifierConfig } from '../../src/models/classifier/family.js';
import type { StarFlowConfig } from '../../src/models/starflow/config.js';
import type { VaeConfig } from '../../src/models/vae/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import { publishedDesign, settingsOf } from './experiment.js';

/**
 * Latents of emoji: 64×64 pixels of both vendors to 16×16 places of 8 numbers, a sixth of the pixels'
 * numbers. Names that are held out for composition are not seen here either. An image takes 2.7·10⁹
 * floating-point operations forwards, and three times that with its gradient; the 5,100 steps of 16
 * images are 6.6·10¹⁴, an hour of two cores, or less where they have bfloat16.
 */
export const emojiVae: Experiment<VaeConfig> = {
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
  settings: settingsOf({
    noise: { kind: 'none' },
    batchSize: 16,
    steps: 5100,
    peakLearningRate: 1e-3,
    warmupSteps: 300,
    averageDecay: 0.999,
    flip: true,
    precision: 'bfloat16',
    validateEvery: 500,
    validationImages: 128,
    saveEvery: 250,
  }),
};

/** A decoder that reads latents with the noise of flows, and an encoder that stays as it is. */
const noisyDecoder = {
  trained: 'decoder',
  kl: 0,
  squares: 0,
  features: 0.1,
  latentNoise: 0.3,
} as const;

/**
 * The same autoencoder with a decoder that reads noisy latents (Gu et al. 2025, arXiv 2506.06276): the
 * noise that a flow is trained with, 0.3 of the latents' deviation, is taken away by decoding. It
 * begins with the other one (`--from`), whose encoder stays as it is and has no gradient.
 */
const emojiVaeNoisy: Experiment<VaeConfig> = {
  name: 'emoji-vae-noisy',
  description: 'Its decoder goes on (--from) with noise of 0.3 on the latents, its encoder stays',
  dataset: 'emoji-composed-64',
  config: { ...emojiVae.config, loss: noisyDecoder },
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
  name: 'fluent-vae',
  description:
    'It goes on (--from fluent-vae-128) with Microsoft’s emoji of 256×256: latents for flows',
  dataset: 'emoji-fluent-256',
  config: { ...fluentVae128.config, image: { channels: 3, height: 256, width: 256 } },
  settings: {
    ...emojiVae.settings,
    batchSize: 8,
    steps: 1000,
    peakLearningRate: 4e-4,
    warmupSteps: 50,
    seed: 2,
    validateEvery: 250,
    validationImages: 32,
  },
};

/** Its decoder reads noisy latents, as that of `emoji-vae-noisy` does. */
const fluentVaeNoisy: Experiment<VaeConfig> = {
  ...fluentVae,
  name: 'fluent-vae-noisy',
  description: 'Its decoder goes on (--from fluent-vae) with noise of 0.3 on the latents',
  config: { ...fluentVae.config, loss: noisyDecoder },
  settings: { ...fluentVae.settings, steps: 700, seed: 3 },
};

/**
 * Emoji from their names: latents of the autoencoder `emoji-vae`, with states of captions by MiniLM,
 * as `tarflow encode --text-encoder minilm` writes them into a folder. 64 tokens of 2×2 places, 10.5 million
 * parameters, three quarters of them in the deep block. An image takes 5·10⁹ floating-point operations
 * with its gradient: all steps are 1.5·10¹⁵, less than an hour and a half of two cores that have
 * bfloat16. With a token for every place (`patchSize=1 gridSide=16`) an image costs four times as much.
 */
const emojiText: Experiment<StarFlowConfig> = {
  name: 'emoji-text',
  description: 'Emoji from text: a STARFlow on latents of emoji-vae (--data latents:FOLDER)',
  dataset: 'latents:latents',
  config: {
    ...publishedDesign,
    image: { channels: 8, height: 16, width: 16 },
    classes: 0,
    text: { entries: 20, width: 384 },
    patchSize: 2,
    channels: 256,
    layersPerBlock: [1, 1, 1, 10],
    headWidth: 64,
    gridSide: 8,
  },
  settings: settingsOf({
    noise: { kind: 'gaussian', sigma: 0.3 },
    batchSize: 64,
    steps: 4800,
    peakLearningRate: 8e-4,
    warmupSteps: 250,
    holdSteps: 2000,
    dropLabel: 0.1,
    averageDecay: 0.999,
    precision: 'bfloat16',
    validateEvery: 200,
    validationImages: 844,
  }),
};

/**
 * It goes on (`--from`) with drawings that mostly have a mirror image, mirrored too, and with fewer of the
 * skin tones, which are half of all drawings (`tarflow encode --mirror --except …`; the README has the
 * whole command): what is rare is seen more often, and learned by heart more slowly.
 */
const emojiTextMirrored: Experiment<StarFlowConfig> = {
  ...emojiText,
  name: 'emoji-text-mirrored',
  description: 'emoji-text, gone on with (--from): mirrored drawings too, fewer skin tones',
  dataset: 'latents:latents-mirrored',
  settings: {
    ...emojiText.settings,
    steps: 3000,
    peakLearningRate: 5e-4,
    warmupSteps: 100,
    holdSteps: 1200,
    seed: 2,
  },
};

/**
 * Larger emoji from their names: 256×256, latents of `fluent-vae` with 32×32 places. 64 tokens of 4×4 places
 * cost what those of `emoji-text` do; 256 tokens of 2×2 (`patchSize=2 gridSide=16`) four times as much.
 */
const fluentText: Experiment<StarFlowConfig> = {
  name: 'fluent-text',
  description:
    'Emoji of 256×256 from text: a STARFlow on latents of fluent-vae (--data latents:FOLDER)',
  dataset: 'latents:latents-fluent',
  config: { ...emojiText.config, image: { channels: 8, height: 32, width: 32 }, patchSize: 4 },
  settings: { ...emojiText.settings, steps: 3600, holdSteps: 1500, validationImages: 338 },
};

/**
 * Whose features tell emoji apart: Unicode's subcategories from drawings of 64×64 pixels by Google and
 * Twitter, without the names held out for composition. An image takes 8·10⁷ floating-point operations
 * forwards; all steps are 2.4·10¹³, three minutes of two cores. There are few drawings, and so it learns
 * them by heart; strong noise makes its features less of their details.
 */
const emojiJudge: Experiment<ClassifierConfig> = {
  name: 'emoji-judge',
  description:
    'A classifier of emoji 64×64 by subcategory: features for the agreement with captions',
  dataset: 'emoji-subcategories-64',
  config: {
    kind: 'classifier',
    image: { channels: 3, height: 64, width: 64 },
    classes: 99,
    convolutions: [32, 64, 128],
    features: 128,
  },
  settings: settingsOf({
    noise: { kind: 'gaussian', sigma: 0.6 },
    batchSize: 64,
    steps: 1500,
    peakLearningRate: 1e-3,
    warmupSteps: 200,
    weightDecay: 0.1,
    averageDecay: 0.99,
    flip: true,
    validateEvery: 200,
    validationImages: 844,
    saveEvery: 600,
  }),
};

/** Emoji from text: autoencoders, flows of their latents, and the judge of what they draw. */
export const emojiFromText: readonly Experiment[] = [
  emojiVae,
  emojiVaeNoisy,
  emojiText,
  emojiTextMirrored,
  emojiJudge,
  fluentVae128,
  fluentVae,
  fluentVaeNoisy,
  fluentText,
];
