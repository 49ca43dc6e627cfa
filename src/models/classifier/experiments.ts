import type { Experiment } from '../../training/experiment.js';
import type { ClassifierConfig } from './family.js';

/**
 * Whose features tell emoji apart: Unicode's subcategories from drawings of 64×64 pixels by Google and
 * Twitter. An image takes 8·10⁷ floating-point operations forwards; all steps are 5·10¹³, about ten
 * minutes of two cores.
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
  settings: {
    noise: { kind: 'gaussian', sigma: 0.05 },
    batchSize: 64,
    steps: 3000,
    peakLearningRate: 1e-3,
    warmupSteps: 200,
    dropLabel: 0,
    weightDecay: 1e-3,
    clipNorm: 1,
    averageDecay: 0.995,
    flip: true,
    precision: 'float32',
    seed: 1,
    validateEvery: 200,
    validationImages: 832,
    saveEvery: 600,
  },
};

/** What there is to train of this family. */
export const classifierExperiments: readonly Experiment[] = [emojiJudge];
