import type { Experiment } from '../../src/training/experiment.js';
import type { TrainingSettings } from '../../src/training/settings.js';
import type { OurReference } from '../papers/index.js';

/** The figure that an experiment is expected to give: where it is recorded, never typed. */
export interface Expectation {
  /** What the figure is. */
  what: string;
  /** A figure of `results/claims/`, or a committed run, whose last held-out loss it is. */
  from: OurReference | { run: string };
  /** How the committed checkpoint came about, where its steps are not the experiment's. */
  note?: string | undefined;
}

/** Experiments that belong together, and what they are expected to give, by name. */
export interface ExperimentGroup {
  experiments: readonly Experiment[];
  /** Those without an entry have no committed run that went to its end. */
  expected: Readonly<Record<string, Expectation>>;
}

/** The last held-out loss of a committed run. */
export function lossOf(
  run: string,
  { what = 'held-out loss, nats per dimension', note }: { what?: string; note?: string } = {},
): Expectation {
  return { what, from: { run }, note };
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
