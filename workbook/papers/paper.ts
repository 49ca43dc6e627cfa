import type { MeasureName } from './measures.js';

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

export interface Paper {
  id: string;
  title: string;
  /** For example 'arXiv 2412.06329'. */
  work: string;
  tables: readonly Table[];
  claims: readonly Claim[];
}

/** A figure of `results/claims/`: what was measured here. */
export interface OurReference {
  measurement: string;
  figure: string;
  /** Decimals; four significant digits where absent. */
  decimals?: number;
  /** Show a share as a percentage. */
  percent?: true;
  /** Show its standard error, too. */
  error?: true;
}

/** A figure of a table of a paper. */
export interface PublishedReference {
  table: string;
  row: string;
  measure: MeasureName;
  of?: string;
}

/** Text in which figures are references, so that none is typed. */
export type Sentence<Reference> = readonly (string | Reference)[];

export type Verdict =
  | 'holds'
  | 'does not hold here'
  | 'cannot be told at this size'
  | 'not measured yet';

/** A claim of a paper, and what our figures say of it: never more than they do. */
export interface Claim {
  /** For example 'S2'. */
  id: string;
  /** A few words for a table. */
  title: string;
  /** What the paper claims. */
  claim: string;
  /** The files of `results/claims/` that it stands on. */
  measurements: readonly string[];
  /** What the papers report, for the table of results. */
  published?: Sentence<PublishedReference>;
  /** What was measured here, for the table of results. */
  ours?: Sentence<OurReference>;
  verdict: Verdict;
  /** Where the verdict is narrower than the claim, for example 'in two dimensions'. */
  scope?: string;
  /** Why, in one sentence. */
  reason: Sentence<OurReference>;
}

/** A sentence from a template literal whose values are references. */
export function sentence<Reference>(
  texts: TemplateStringsArray,
  ...references: Reference[]
): Sentence<Reference> {
  const parts = texts.flatMap((text, i): (string | Reference)[] => {
    const reference = references[i];
    return reference === undefined ? [text] : [text, reference];
  });
  return parts.filter((part) => part !== '');
}

/** A figure measured here, for {@link sentence}. */
export function ours(
  measurement: string,
  figure: string,
  format: Pick<OurReference, 'decimals' | 'percent' | 'error'> = {},
): OurReference {
  return { measurement, figure, ...format };
}

/** A published figure, for {@link sentence}. */
export function published(
  table: string,
  row: string,
  measure: MeasureName,
  of?: string,
): PublishedReference {
  return { table, row, measure, ...(of !== undefined && { of }) };
}
