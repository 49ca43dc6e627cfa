import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import { settingsOf, smallTarFlow } from './experiment.js';

const image = { channels: 3, height: 32, width: 32 };
const config = smallTarFlow({ image, patchSize: 2, channels: 128 });

/**
 * Emoji of 32×32 pixels by patches of 2: 256 tokens, as many as TarFlow's samples of ImageNet
 * 64×64 with patch 4. Small, so that a processor trains it in an hour: its samples are poor, but
 * how its blocks converge shows what accelerated sampling is about (GS-Jacobi, section 5).
 */
const emoji256: Experiment<TarFlowConfig> = {
  name: 'emoji-256-tokens',
  description: 'Fast sampling at 256 tokens: emoji 32×32, patch 2, class-conditional',
  dataset: 'emoji-base-32',
  config,
  settings: settingsOf({
    noise: { kind: 'gaussian', sigma: 0.1 },
    batchSize: 32,
    steps: 2400,
    peakLearningRate: 1e-3,
    warmupSteps: 300,
    dropLabel: 0.1,
    precision: 'bfloat16',
    validateEvery: 250,
    validationImages: 128,
  }),
};

/**
 * Emoji of 64×64 pixels by patches of 2: 1,024 tokens and 8 blocks, as many as TarFlow's models of
 * ImageNet 128×128 have, at the least width and depth that still train. For the time of sampling and
 * residual curves, as {@link emoji256}.
 */
const emoji1024: Experiment<TarFlowConfig> = {
  name: 'emoji-1024-tokens',
  description: 'Fast sampling at 1,024 tokens: emoji 64×64, patch 2, class-conditional',
  dataset: 'emoji-base-64',
  config: {
    ...config,
    image: { channels: 3, height: 64, width: 64 },
    channels: 64,
    blocks: 8,
    layersPerBlock: 1,
  },
  settings: { ...emoji256.settings, batchSize: 16, steps: 1400, validationImages: 64 },
};

/**
 * Class-conditional emoji of 32×32 pixels in patches of 2: 256 tokens. Its blocks
 * (four layers of width 256: 13 MB in float32) are larger than the caches of a core, so a token's
 * step is bound by reading them, and iteration has something to gain (Table 1 of GS-Jacobi). 12.9
 * million parameters; a step of 32 images takes 7·10¹¹ floating-point operations: all are 5·10¹⁵.
 */
const emojiConditional: Experiment<TarFlowConfig> = {
  name: 'emoji-conditional',
  description: 'Samples of emoji 32×32, and Table 1: class-conditional, 256 tokens, 2-256-4-4',
  dataset: 'emoji-base-32',
  config: { ...config, channels: 256, layersPerBlock: 4, headWidth: 64 },
  settings: {
    ...emoji256.settings,
    steps: 7000,
    peakLearningRate: 5e-4,
    warmupSteps: 500,
    holdSteps: 5600,
    averageDecay: 0.999,
    flip: true,
    validateEvery: 500,
    validationImages: 336,
  },
};

/** Flows of emoji with as many tokens as the papers' models, for accelerated sampling. */
export const tokens: readonly Experiment[] = [emoji256, emoji1024, emojiConditional];
