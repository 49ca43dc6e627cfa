import type { ModelConfig } from '../../src/flow/model.js';
import type { StarFlowConfig } from '../../src/models/starflow/config.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Guidance } from '../../src/sampling/guidance.js';
import type { Experiment } from '../../src/training/experiment.js';
import { publishedDesign } from '../experiments/experiment.js';
import type { PaperSampling, PaperScale } from '../papers/index.js';

/** Of the published models. */
const headWidth = 64;

/** A name that tells trainings apart, for example `imagenet-64-2-768-8-8-0.05`. */
function nameOf({ dataset, side, patchSize, channels, blocks, ...paper }: PaperScale): string {
  const model = [patchSize, channels, blocks, ...[paper.layersPerBlock].flat()];
  const condition = paper.text && 'text';
  return [dataset, side, condition, ...model, paper.noise ?? 'unknown-noise']
    .filter((part) => part !== undefined)
    .join('-');
}

/** What is modelled: pixels, or the latents of an autoencoder. */
export function paperImage({ side, latentChannels = 3 }: PaperScale): ModelConfig['image'] {
  return { channels: latentChannels, height: side, width: side };
}

/** A TarFlow, or a STARFlow where blocks have different numbers of layers. */
function configOf(paper: PaperScale): TarFlowConfig | StarFlowConfig {
  const { patchSize, channels, blocks, layersPerBlock, classes = 0, side, text } = paper;
  const shape = { image: paperImage(paper), patchSize, channels, headWidth, classes };
  if (typeof layersPerBlock === 'number') {
    return { kind: 'tarflow', ...shape, blocks, layersPerBlock, volumePreserving: false };
  }
  return {
    ...publishedDesign,
    ...shape,
    layersPerBlock: [...layersPerBlock],
    gridSide: paper.gridSide ?? side / patchSize,
    ...(text && { text }),
  };
}

/** Guidance as a paper samples: annealed, or by the product of Gaussians; undefined where it has none. */
export function paperGuidance({
  guidance: weight = 0,
  rule,
  temperature,
}: Partial<PaperSampling>): Guidance | undefined {
  if (weight === 0) return undefined;
  const how = rule === 'product' ? { rule } : { annealed: true };
  return { weight, ...how, ...(temperature !== undefined && { temperature }) };
}

/**
 * A paper's training as an experiment: AdamW with weight decay 1e-4, no clipping, no running mean, a
 * warm-up of one epoch, every image mirrored at random (TarFlow, section 4.1 and its published code).
 * Latents are not mirrored: a mirrored latent need not decode to the mirrored image.
 * Gaussian noise goes with products in bfloat16, uniform noise with float32.
 *
 * @param trainingImages of the training split, which make an epoch
 */
export function paperExperiment(paper: PaperScale, trainingImages: number): Experiment {
  const { batchSize = 256, dropLabel = 0, peakLearningRate = 1e-4 } = paper;
  const uniform = paper.noise === 'uniform';
  const stepsPerEpoch = Math.max(1, Math.floor(trainingImages / batchSize));
  return {
    name: nameOf(paper),
    description: `${paper.data}, at the paper's scale`,
    dataset: paper.dataset as string,
    config: configOf(paper),
    settings: {
      noise:
        uniform || paper.noise === undefined
          ? { kind: 'uniform' }
          : { kind: 'gaussian', sigma: paper.noise as number },
      batchSize,
      steps: stepsPerEpoch * (paper.epochs ?? 1),
      peakLearningRate,
      warmupSteps: stepsPerEpoch,
      dropLabel,
      weightDecay: 1e-4,
      clipNorm: 0,
      averageDecay: 0,
      flip: paper.dataset !== 'latents',
      precision: uniform ? 'float32' : 'bfloat16',
      seed: 1,
      validateEvery: stepsPerEpoch,
      validationImages: 4096,
      saveEvery: Math.min(stepsPerEpoch, 1000),
    },
  };
}

/** What a paper does not say of the training of its model. */
export function untold(paper: PaperScale): string[] {
  const { noise, epochs, batchSize, peakLearningRate, dropLabel, text, classes = 0 } = paper;
  return [
    ...(noise === undefined ? ['the noise of its training'] : []),
    ...(epochs === undefined ? ['the number of its epochs'] : []),
    ...(batchSize === undefined ? ['the size of its batches'] : []),
    ...(peakLearningRate === undefined ? ['its learning rate'] : []),
    ...((classes > 0 || text) && dropLabel === undefined
      ? ['how often conditions are dropped']
      : []),
  ];
}
