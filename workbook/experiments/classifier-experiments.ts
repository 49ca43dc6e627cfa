import type { ClassifierConfig } from '../../src/models/classifier/family.js';
import type { Experiment } from '../../src/training/experiment.js';

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
  settings: {
    noise: { kind: 'gaussian', sigma: 0.6 },
    batchSize: 64,
    steps: 1500,
    peakLearningRate: 1e-3,
    warmupSteps: 200,
    dropLabel: 0,
    weightDecay: 0.1,
    clipNorm: 1,
    averageDecay: 0.99,
    flip: true,
    precision: 'float32',
    seed: 1,
    validateEvery: 200,
    validationImages: 844,
    saveEvery: 600,
  },
};

/** What there is to train of this family. */
export const classifierExperiments: readonly Experiment[] = [emojiJudge];
