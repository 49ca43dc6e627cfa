import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { TrainingSettings } from '../../src/training/settings.js';

/** Images of clothes, of Fashion-MNIST. */
export const clothes = { channels: 1, height: 28, width: 28 };

/** A small class-conditional flow of clothes, 4-64-4-2, that differs from the others in what is given. */
export function smallTarFlow(change: Partial<TarFlowConfig> = {}): TarFlowConfig {
  return {
    kind: 'tarflow',
    image: clothes,
    patchSize: 4,
    channels: 64,
    blocks: 4,
    layersPerBlock: 2,
    headWidth: 32,
    classes: 10,
    volumePreserving: false,
    ...change,
  };
}

type Chosen = Pick<
  TrainingSettings,
  'noise' | 'batchSize' | 'steps' | 'peakLearningRate' | 'warmupSteps' | 'validateEvery'
> &
  Partial<TrainingSettings>;

/** Settings of a training, with what most of the workbook share. */
export function settingsOf(chosen: Chosen): TrainingSettings {
  return {
    dropLabel: 0,
    weightDecay: 1e-4,
    clipNorm: 1,
    averageDecay: 0,
    flip: false,
    precision: 'float32',
    seed: 1,
    validationImages: 5000,
    saveEvery: chosen.validateEvery,
    ...chosen,
  };
}
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
