import type { TarFlowConfig } from '../models/tarflow/config.js';
import type { PaperScale } from '../papers/index.js';
import type { Experiment } from '../training/experiment.js';

/** Of the published models. */
const headWidth = 64;

/** A name that tells trainings apart, for example `imagenet-64-2-768-8-8-0.05`. */
function nameOf({ dataset, side, patchSize, channels, blocks, ...paper }: PaperScale): string {
  const model = [patchSize, channels, blocks, paper.layersPerBlock];
  return [dataset, side, ...model, paper.noise ?? 'unknown-noise'].join('-');
}

/**
 * A paper's training as an experiment: AdamW with weight decay 1e-4, no clipping, no running mean, a
 * warm-up of one epoch, every image mirrored at random (TarFlow, section 4.1 and its published code).
 * Gaussian noise goes with products in bfloat16, uniform noise with float32.
 *
 * @param trainingImages of the training split, which make an epoch
 */
export function paperExperiment(
  paper: PaperScale,
  trainingImages: number,
): Experiment<TarFlowConfig> {
  const { batchSize = 256, dropLabel = 0, peakLearningRate = 1e-4, classes = 0 } = paper;
  const uniform = paper.noise === 'uniform';
  const stepsPerEpoch = Math.max(1, Math.floor(trainingImages / batchSize));
  return {
    name: nameOf(paper),
    description: `${paper.data}, at the paper's scale`,
    dataset: paper.dataset as string,
    config: {
      kind: 'tarflow',
      image: { channels: 3, height: paper.side, width: paper.side },
      patchSize: paper.patchSize,
      channels: paper.channels,
      blocks: paper.blocks,
      layersPerBlock: paper.layersPerBlock as number,
      headWidth,
      classes,
      volumePreserving: false,
    },
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
      flip: true,
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
  const { noise, epochs, batchSize, peakLearningRate, dropLabel, classes = 0 } = paper;
  return [
    ...(noise === undefined ? ['the noise of its training'] : []),
    ...(epochs === undefined ? ['the number of its epochs'] : []),
    ...(batchSize === undefined ? ['the size of its batches'] : []),
    ...(peakLearningRate === undefined ? ['its learning rate'] : []),
    ...(classes > 0 && dropLabel === undefined ? ['how often labels are dropped'] : []),
  ];
}
