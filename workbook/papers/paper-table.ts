/** Where a published figure stands, and how it came here. */
export interface Source {
  /** For example 'arXiv 2505.12849'. */
  work: string;
  /** The table, section or file of it. */
  place: string;
  /**
   * `read`: in the work itself or in its authors' code; `quoted`: in another work that quotes it;
   * `remembered`: looked up nowhere. What is not read is said wherever the figure is shown.
   */
  known: 'read' | 'quoted' | 'remembered';
}

/** One number that a paper reports. Never ours. */
export interface PublishedFigure {
  measure: MeasureName;
  /** Which of several numbers of that measure: a method, a block. */
  of?: string;
  value: number;
  source: Source;
}

/** What a paper trained, as far as it is known: the experiment at the paper's scale. */
export interface PaperScale {
  data: string;
  /**
   * How `openDataset` calls the data, without the user's folder; absent where no reader is here.
   * `latents` are those of an autoencoder, as `tarflow encode` writes them.
   */
  dataset?: 'imagenet' | 'imagenet64' | 'afhq' | 'cifar10' | 'latents';
  /** Whose images latents were made of, by its key among `trainingSets`. */
  encoded?: 'imagenet' | 'cc12m';
  /** Classes of a conditional model; absent for one without labels. */
  classes?: number;
  /** Side of what is modelled: of an image in pixels, or of its latents. */
  side: number;
  /** Of latents. */
  latentChannels?: number;
  /** Side that positions are scaled to, where it is another than that of the tokens. */
  gridSide?: number;
  /** States of captions that the model reads: entries, and numbers of each. */
  text?: { entries: number; width: number };
  patchSize: number;
  /** Width of the transformers. */
  channels: number;
  blocks: number;
  /** Of every block, or block by block from the data. */
  layersPerBlock: number | readonly number[];
  /** 'uniform', or the deviation of Gaussian noise on the scale −1 … 1. */
  noise?: 'uniform' | number;
  batchSize?: number;
  epochs?: number;
  peakLearningRate?: number;
  dropLabel?: number;
  gpus?: number;
  /** How samples are drawn whose quality is reported. */
  sampling?: PaperSampling;
}

/** How a paper draws the samples that it measures. */
export interface PaperSampling {
  /** w; absent for none. */
  guidance?: number;
  /** How it is applied; default the linear rule, annealed, as TarFlow's figures are. */
  rule?: 'product';
  /** τ of the weaker model's attention. */
  temperature?: number;
  /** λ of the denoising step; 0 for none, where the decoder of latents takes the noise away. */
  denoising: number;
  /** How many are drawn; default 50,000. */
  samples?: number;
}

/** Latents of images at workbook scale. */
export interface LatentsOf {
  /** The data set, as `openDataset` calls it. */
  images: string;
  /** The experiment of the autoencoder, whose checkpoint is committed by the same name. */
  autoencoder: string;
}

/** A line of a paper's table. */
export interface Row {
  name: string;
  /** The kind of model, for example 'diffusion'. */
  kind?: string;
  /** What its figures depend on and its name does not say, for example '256 tokens, GPU'. */
  setting?: string;
  published: readonly PublishedFigure[];
  /** Measured here though the paper reports no number of it. */
  measures?: readonly MeasureName[];
  /** The experiment at the paper's scale. */
  paper?: PaperScale;
  /** The name of its twin at workbook scale, one of `experiments`. */
  workbook?: string;
  /** True where its twin's samples are drawn without labels. */
  unlabelled?: true;
  /** True where its twin's samples have the labels of training images, whose classes differ in size. */
  labelledAsTrained?: true;
  /** Where its twin models latents: what they are of. */
  latents?: LatentsOf;
  /** The name of the published strategy that its accelerated figures are of (`namedSolvers`). */
  strategy?: string;
  /** Published weights that it can be measured with, by the name of their file. */
  weights?: string;
}

/** A table of a paper, or what its text reports like one. */
export interface Table {
  /** Unique among all papers. */
  id: string;
  title: string;
  rows: readonly Row[];
}

/** A figure of a table of a paper. */
export interface PublishedReference {
  table: string;
  row: string;
  measure: MeasureName;
  /** Which of several figures of that measure. */
  of?: string | undefined;
}

/**
 * Rows of a table that reports one figure of each model: its name, kind and value, and what else is known
 * of it.
 */
export function reported(
  measure: MeasureName,
  source: Source,
  models: readonly (readonly [name: string, kind: string, value: number, known?: Partial<Row>])[],
): Row[] {
  return models.map(([name, kind, value, known]) => {
    return { name, kind, published: [{ measure, value, source }], ...known };
  });
}

/** Rows of flows that are trained and measured here alone, by the names of their experiments. */
export function ourFlows(
  measures: readonly MeasureName[],
  experiments: Readonly<Record<string, string>>,
): Row[] {
  return Object.entries(experiments).map(([name, workbook]) => {
    return { name, kind: 'flow', workbook, published: [], measures };
  });
}

/** A figure that a paper's table has, for sentences and beside figures of ours. */
export function published(
  table: string,
  row: string,
  measure: MeasureName,
  of?: string,
): PublishedReference {
  return { table, row, measure, of };
}

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

/** A paper, and what its tables report. */
export interface Paper {
  id: string;
  title: string;
  /** For example 'arXiv 2412.06329'. */
  work: string;
  tables: readonly Table[];
}
