import type { StarFlowConfig } from '../../src/models/starflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { TrainingSettings } from '../../src/training/settings.js';

/** What the paper's models have, and ours alike (Gu et al. 2025, arXiv 2506.06276, section 4.1). */
export const publishedDesign = {
  kind: 'starflow',
  nullClass: true,
  startToken: true,
  norm: 'layer',
  finalNorm: true,
  softClip: 4,
  scale: 'softplus',
  firstDirection: 'reverse',
} as const;

const settings: TrainingSettings = {
  noise: { kind: 'gaussian', sigma: 0.3 },
  batchSize: 64,
  steps: 4800,
  peakLearningRate: 8e-4,
  warmupSteps: 250,
  holdSteps: 2000,
  dropLabel: 0.1,
  weightDecay: 1e-4,
  clipNorm: 1,
  averageDecay: 0.999,
  flip: false,
  precision: 'bfloat16',
  seed: 1,
  validateEvery: 200,
  validationImages: 844,
  saveEvery: 200,
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
  settings,
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
    ...settings,
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
  ...emojiText,
  name: 'fluent-text',
  description:
    'Emoji of 256×256 from text: a STARFlow on latents of fluent-vae (--data latents:FOLDER)',
  dataset: 'latents:latents-fluent',
  config: { ...emojiText.config, image: { channels: 8, height: 32, width: 32 }, patchSize: 4 },
  settings: { ...settings, steps: 3600, holdSteps: 1500, validationImages: 338 },
};

/** Flows of one cost and of as many parameters, which share their layers out among four blocks. */
function shared(name: string, about: string, layersPerBlock: number[]): Experiment<StarFlowConfig> {
  return {
    name: `design-${name}`,
    description: `Deep and shallow blocks on Fashion-MNIST: ${about}`,
    dataset: 'fashion-mnist',
    config: {
      ...publishedDesign,
      image: { channels: 1, height: 28, width: 28 },
      classes: 10,
      patchSize: 4,
      channels: 64,
      layersPerBlock,
      headWidth: 32,
      gridSide: 7,
    },
    settings: {
      ...settings,
      noise: { kind: 'gaussian', sigma: 0.1 },
      batchSize: 128,
      steps: 3000,
      peakLearningRate: 2e-3,
      warmupSteps: 100,
      holdSteps: 0,
      averageDecay: 0,
      validateEvery: 150,
      validationImages: 5000,
      saveEvery: 300,
    },
  };
}

/**
 * One transformer on latents of emoji and on their pixels, at one cost: 1,800 steps on latents take
 * as many operations as `steps` here.
 */
function twin(
  name: string,
  about: string,
  data: Pick<Experiment<StarFlowConfig>, 'dataset'> &
    Pick<StarFlowConfig, 'image' | 'patchSize' | 'gridSide'> &
    Pick<TrainingSettings, 'steps'> & { sigma: number },
): Experiment<StarFlowConfig> {
  const { dataset, image, patchSize, gridSide, steps, sigma } = data;
  return {
    ...{ name, dataset },
    description: `Emoji by their category, ${about}`,
    config: {
      ...publishedDesign,
      ...{ image, classes: 10, patchSize, channels: 192, layersPerBlock: [1, 1, 1, 5] },
      ...{ headWidth: 64, gridSide },
    },
    settings: {
      ...settings,
      ...{ noise: { kind: 'gaussian', sigma }, steps, peakLearningRate: 1e-3 },
      ...{ warmupSteps: 100, holdSteps: 0, averageDecay: 0, validationImages: 336 },
    },
  };
}

const pixels = { channels: 3, height: 64, width: 64 };

/** What there is to train of this family. */
export const starflowExperiments: readonly Experiment[] = [
  emojiText,
  emojiTextMirrored,
  fluentText,
  shared('deep-near-noise', 'five layers nearest the noise, one in each other block', [1, 1, 1, 5]),
  shared('deep-near-data', 'five layers nearest the data, one in each other block', [5, 1, 1, 1]),
  shared('even', 'two layers in each block', [2, 2, 2, 2]),
  // Its latents are made by `tarflow reproduce`, or by `tarflow encode` for --data.
  twin('emoji-on-latents', '64 tokens of latents by emoji-vae-noisy (--data latents:FOLDER)', {
    ...{ dataset: 'latents:latents-base', image: { channels: 8, height: 16, width: 16 } },
    ...{ patchSize: 2, gridSide: 8, steps: 1800, sigma: 0.3 },
  }),
  twin('emoji-on-pixels', '64 tokens of 8×8 pixels', {
    ...{ dataset: 'emoji-base-64', image: pixels },
    ...{ patchSize: 8, gridSide: 8, steps: 1641, sigma: 0.05 },
  }),
  twin('emoji-on-noisier-pixels', '64 tokens of 8×8 pixels with more noise', {
    ...{ dataset: 'emoji-base-64', image: pixels },
    ...{ patchSize: 8, gridSide: 8, steps: 1641, sigma: 0.1 },
  }),
  twin('emoji-on-small-patches', '256 tokens of 4×4 pixels', {
    ...{ dataset: 'emoji-base-64', image: pixels },
    ...{ patchSize: 4, gridSide: 16, steps: 386, sigma: 0.05 },
  }),
];
