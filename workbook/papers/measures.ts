/** What a figure of a table is a measure of. */
export interface Measure {
  /** '' for a plain number. */
  unit: string;
  /** Which way is better, where there is one. */
  better?: 'lower' | 'higher';
  /** What computes it here; absent where nothing does yet. */
  computedBy?: string;
}

/** The measures of the papers' tables, by name. */
export const measures = {
  'bits per dimension': { unit: 'bits/dim', better: 'lower', computedBy: 'tarflow bpd' },
  /** Of noisy held-out images, without the ½·log 2π. */
  'held-out loss': { unit: 'nats/dim', better: 'lower', computedBy: 'tarflow reproduce' },
  /** Between the held-out loss and the distance of samples, over the points of a training. */
  'correlation of loss and FID': { unit: '', computedBy: 'tarflow reproduce' },
  FID: {
    unit: '',
    better: 'lower',
    computedBy: 'tarflow reproduce (by Inception-v3; by other networks an FD)',
  },
  sFID: { unit: '', better: 'lower' },
  GenEval: { unit: '', better: 'higher' },
  'CLIP-IQA': { unit: '', better: 'higher' },
  BRISQUE: { unit: '', better: 'lower' },
  'speed-up': { unit: '×', better: 'higher', computedBy: 'tarflow accelerate' },
  /** In seconds a batch. */
  'time of a batch': { unit: 's', better: 'lower', computedBy: 'tarflow accelerate' },
  /** In a unit that its source does not state. */
  time: { unit: 'unit not stated', better: 'lower' },
  'iterations of a block': { unit: '', better: 'lower', computedBy: 'followConvergence' },
  'share of CRM': { unit: '%', computedBy: 'convergenceRankingMetric' },
  /** Deviation of the training noise after which samples, denoised, are best. */
  'best σ': { unit: '', computedBy: 'tarflow reproduce' },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof measures;
