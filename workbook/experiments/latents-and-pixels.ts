import type { StarFlowConfig } from '../../src/models/starflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';
import { publishedDesign, settingsOf } from './experiment.js';

/** What the transformers of the comparison read, and how long they train. */
type Chosen = Pick<Experiment, 'name' | 'dataset'> &
  Pick<StarFlowConfig, 'image' | 'patchSize' | 'gridSide'> & {
    about: string;
    steps: number;
    sigma: number;
  };

/**
 * One transformer on latents of emoji and on their pixels, at one cost: 1,800 steps on latents take
 * as many operations as `steps` here.
 */
function transformer(chosen: Chosen): Experiment<StarFlowConfig> {
  const { name, about, dataset, steps, sigma, ...read } = chosen;
  return {
    name,
    description: `Emoji by their category, ${about}`,
    dataset,
    config: {
      ...publishedDesign,
      ...read,
      classes: 10,
      channels: 192,
      layersPerBlock: [1, 1, 1, 5],
      headWidth: 64,
    },
    settings: settingsOf({
      noise: { kind: 'gaussian', sigma },
      batchSize: 64,
      steps,
      peakLearningRate: 1e-3,
      warmupSteps: 100,
      holdSteps: 0,
      dropLabel: 0.1,
      precision: 'bfloat16',
      validateEvery: 200,
      validationImages: 336,
    }),
  };
}

/** The images of the comparison, and 64 tokens of them. */
const pixels = {
  dataset: 'emoji-base-64',
  image: { channels: 3, height: 64, width: 64 },
  patchSize: 8,
  gridSide: 8,
  steps: 1641,
};

/** Flows on latents and on pixels, at one cost of training. */
export const latentsAndPixels: readonly Experiment[] = [
  transformer({
    name: 'emoji-on-latents',
    about: '64 tokens of latents by emoji-vae-noisy (--data latents:FOLDER)',
    // They are made by `tarflow reproduce`, or by `tarflow encode` for --data.
    dataset: 'latents:latents-base',
    image: { channels: 8, height: 16, width: 16 },
    patchSize: 2,
    gridSide: 8,
    steps: 1800,
    sigma: 0.3,
  }),
  transformer({
    ...pixels,
    name: 'emoji-on-pixels',
    about: '64 tokens of 8×8 pixels',
    sigma: 0.05,
  }),
  transformer({
    ...pixels,
    name: 'emoji-on-noisier-pixels',
    about: '64 tokens of 8×8 pixels with more noise',
    sigma: 0.1,
  }),
  transformer({
    ...pixels,
    name: 'emoji-on-small-patches',
    about: '256 tokens of 4×4 pixels',
    patchSize: 4,
    gridSide: 16,
    steps: 386,
    sigma: 0.05,
  }),
];
