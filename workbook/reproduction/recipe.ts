import { didYouMean, UserError } from '../../src/core/errors.js';
import { ability } from '../../src/flow/model.js';
import { familyOf } from '../../src/models/registry.js';
import type { Experiment } from '../../src/training/experiment.js';
import { findExperiment } from '../experiments/index.js';
import {
  type LatentsOf,
  type PaperSampling,
  type PaperScale,
  type PublishedFigure,
  papers,
  type Row,
  type Table,
  tableOf,
  trainingSetOf,
} from '../papers/index.js';
import { type Asked, isMeasured } from './measurable.js';
import { paperExperiment, paperImage, untold } from './paper-experiment.js';

/** The paper's own models and data, or their twins that two cores can train. */
export const scales = ['paper', 'workbook'] as const;
export type Scale = (typeof scales)[number];

/** All that is needed to measure a row of a table. */
export interface Recipe {
  kind: 'recipe';
  table: string;
  row: string;
  scale: Scale;
  asked: readonly Asked[];
  /** What is trained, once it is known how many images there are to train on. */
  experiment(trainingImages: number): Experiment;
  /** The data set; at the paper's scale the user's folder comes behind it. */
  dataset: string;
  /** Whether {@link dataset} lies in a folder of the user's. */
  needsFolder: boolean;
  /** What its latents are of, where they are made here and no user's folder is needed. */
  latents?: LatentsOf | undefined;
  /** Image size, for data that are brought to it. */
  image: Experiment['config']['image'];
  sampling: RecipeSampling;
  /** A published strategy that was tuned for exactly this model. */
  strategy?: string | undefined;
  /** Published weights that fit, by the name of their file. */
  weights?: string | undefined;
  /** What is not known of its training, which takes given weights then. */
  untold: readonly string[];
  /** What is known of its training without the data, and makes its cost. */
  training: KnownTraining;
}

/** What is known of a training without its data; what is absent is not. */
export interface KnownTraining {
  /** How many images there are to train on, and what says so. */
  images: { count: number; source: string };
  batchSize?: number | undefined;
  epochs?: number | undefined;
  steps?: number | undefined;
}

/** Whether a row's flow makes latents, and an autoencoder images of them. */
export function modelsLatents({ dataset }: Pick<Recipe, 'dataset'>): boolean {
  return /^latents(:|$)/.test(dataset);
}

/** Whether a row's decoder takes the noise of latents away, and no denoising step does. */
export function readsNoisyLatents(recipe: Pick<Recipe, 'dataset' | 'sampling'>): boolean {
  return modelsLatents(recipe) && recipe.sampling.denoising === 0;
}

/** A row that cannot be measured here, and why. */
export interface LeftOut {
  kind: 'left out';
  table: string;
  row: string;
  reason: string;
}

/** A row, and what is known of its model, though it may not be measured here. */
export interface PlannedRow {
  row: string;
  /** Absent where nothing is known of a model. */
  recipe?: Recipe | undefined;
  /** Why it cannot be measured here; absent where it can. */
  leftOut?: string | undefined;
}

/** The tables that {@link recipesOf} knows. */
export const tableNames: readonly string[] = papers.flatMap(({ tables }) =>
  tables.map(({ id }) => id),
);

/**
 * What has to be done for the rows of a table, in their order.
 *
 * @param row only this one
 * @throws UserError for an unknown table or row, with the nearest right name
 */
export function recipesOf(
  table: string,
  choice: { scale: Scale; row?: string | undefined },
): (Recipe | LeftOut)[] {
  return plannedRows(table, choice).map(({ row, recipe, leftOut: reason = '' }) =>
    recipe && reason === '' ? recipe : { kind: 'left out', table, row, reason },
  );
}

/**
 * The rows of a table, in their order, with the models of all that say what was trained.
 *
 * @param row only this one
 * @throws UserError for an unknown table or row, with the nearest right name
 */
export function plannedRows(
  table: string,
  { scale, row: only }: { scale: Scale; row?: string | undefined },
): PlannedRow[] {
  if (!tableNames.includes(table)) {
    throw new UserError(
      `There is no table '${table}'`,
      `${didYouMean(table, tableNames)}Expected one of ${tableNames.join(', ')}`,
    );
  }
  const { rows } = tableOf(table);
  const names = rows.map(({ name }) => name);
  if (only !== undefined && !names.includes(only)) {
    throw new UserError(
      `Table '${table}' has no row '${only}'`,
      `${didYouMean(only, names)}Its rows: ${names.join('; ')}`,
    );
  }
  return rows
    .filter(({ name }) => only === undefined || name === only)
    .map((row) => {
      const leftOut = whyLeftOut(row, scale);
      const recipe = (scale === 'workbook' ? twinOf : paperRecipe)(tableOf(table), row);
      return { row: row.name, recipe, leftOut };
    });
}

/** Why a row cannot be measured here; undefined where it can. */
function whyLeftOut(row: Row, scale: Scale): string | undefined {
  const { workbook, paper } = row;
  const asked = askedOf(row);
  if (asked.length > 0 && !asked.some(isMeasured)) return 'nothing here computes its figures';
  if (scale === 'workbook') {
    return workbook === undefined ? 'it has no twin at workbook scale' : undefined;
  }
  if (!paper && row.published.length === 0) return 'it is of our own models, and no paper has it';
  if (!paper && workbook !== undefined) return 'it is not known what the paper trained for it';
  if (!paper) return 'a figure of another model, quoted for comparison';
  return paper.dataset === undefined ? `no reader of ${paper.data} is here` : undefined;
}

/** Images of the training splits that twins are trained on. */
const twinImages: Readonly<Record<string, number>> = {
  'fashion-mnist': 55_000,
  cifar10: 45_000,
  'emoji-base-32': 2674,
  'emoji-base-64': 2674,
};

function imagesOfTwin(dataset: string): KnownTraining['images'] {
  const count = twinImages[dataset];
  if (count !== undefined) return { count, source: `training split of ${dataset}` };
  throw new RangeError(`How many images ${dataset} has is not known. Add it to those of twins.`);
}

/** The recipe of a row's twin at workbook scale; undefined where it has none. */
function twinOf(table: Table, row: Row): Recipe | undefined {
  if (row.workbook === undefined) return undefined;
  const experiment = findExperiment(row.workbook);
  const { latents, unlabelled, labelledAsTrained } = row;
  const { batchSize, steps } = experiment.settings;
  // An autoencoder that was trained on noisy latents takes their noise away itself.
  const denoising = latents && takesNoise(latents) ? 0 : 1;
  return {
    kind: 'recipe',
    table: table.id,
    row: row.name,
    asked: askedOf(row),
    scale: 'workbook',
    dataset: experiment.dataset,
    needsFolder: false,
    image: experiment.config.image,
    experiment: () => experiment,
    // Figures that are kept depend on it: what is absent stays absent.
    sampling: {
      denoising,
      ...(unlabelled && { unlabelled }),
      ...(labelledAsTrained && { labelledAsTrained }),
    },
    untold: [],
    latents,
    training: {
      batchSize,
      steps,
      images: imagesOfTwin(latents?.images ?? experiment.dataset),
    },
  };
}

/** The recipe of a row at the paper's scale; undefined where nothing is known of its model. */
function paperRecipe(table: Table, row: Row): Recipe | undefined {
  const { paper, strategy, weights } = row;
  if (!paper) return undefined;
  return {
    kind: 'recipe',
    table: table.id,
    row: row.name,
    asked: askedOf(row),
    scale: 'paper',
    dataset: paper.dataset ?? paper.data,
    needsFolder: true,
    image: paperImage(paper),
    experiment: (trainingImages) => paperExperiment(paper, trainingImages),
    sampling: paper.sampling ?? { denoising: 1 },
    untold: untold(paper),
    training: knownTraining(paper),
    strategy,
    weights,
  };
}

function knownTraining(paper: PaperScale): KnownTraining {
  const { batchSize, epochs } = paper;
  const { title, images: count, source } = trainingSetOf(paper);
  const remembered = source.known === 'remembered' ? ', from memory' : '';
  const images = { count, source: `${title}, ${source.work}${remembered}` };
  return { images, batchSize, epochs };
}

function takesNoise({ autoencoder }: LatentsOf): boolean {
  const { config } = findExperiment(autoencoder);
  return ability(familyOf(config.kind), 'autoencoder').latentNoise?.(config) !== undefined;
}

function askedOf({ published, measures }: Row): Asked[] {
  const asked = published.map(
    ({ measure, of, value }: PublishedFigure): Asked => ({ measure, of, published: value }),
  );
  const ours = (measures ?? []).filter((name) => !asked.some(({ measure }) => measure === name));
  return [...asked, ...ours.map((measure) => ({ measure }))];
}

/** How a row's samples are drawn. */
export interface RecipeSampling extends PaperSampling {
  /** True for samples of a conditional model without labels. */
  unlabelled?: true;
  /** True for labels of training images, drawn at random; default: all classes alike. */
  labelledAsTrained?: true;
}
