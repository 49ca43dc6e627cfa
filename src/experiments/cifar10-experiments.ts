import type { TarFlowConfig } from '../models/tarflow/config.js';
import type { Experiment } from '../training/experiment.js';

/**
 * Likelihood of natural images: CIFAR-10, uniform dequantisation noise, no labels, mirrored images.
 * The workbook's other twin of TarFlow's ImageNet 64×64 density model, 2-768-8-8. A step of 64 images
 * takes 2.5·10¹¹ floating-point operations: all are 3.3·10¹⁵, about four hours of two cores that have
 * bfloat16.
 */
export const cifar10Density: Experiment<TarFlowConfig> = {
  name: 'cifar10-density',
  description: 'Likelihood of CIFAR-10: unconditional, uniform dequantisation noise',
  dataset: 'cifar10',
  config: {
    kind: 'tarflow',
    image: { channels: 3, height: 32, width: 32 },
    patchSize: 2,
    channels: 96,
    blocks: 4,
    layersPerBlock: 4,
    headWidth: 32,
    classes: 0,
    volumePreserving: false,
  },
  settings: {
    noise: { kind: 'uniform' },
    batchSize: 64,
    steps: 13_000,
    peakLearningRate: 1.5e-3,
    warmupSteps: 500,
    holdSteps: 9_000,
    dropLabel: 0,
    weightDecay: 1e-4,
    clipNorm: 1,
    averageDecay: 0.999,
    flip: true,
    precision: 'bfloat16',
    seed: 1,
    validateEvery: 500,
    validationImages: 2048,
    saveEvery: 250,
  },
};
