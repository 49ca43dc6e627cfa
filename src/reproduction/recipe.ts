import { UserError } from '../backend/errors.js';
import { nearestName } from '../backend/nearest.js';
import { findExperiment } from '../experiments/index.js';
import { ability } from '../flow/flow.js';
import { familyOf } from '../models/registry.js';
import {
  type LatentsOf,
  type PaperScale,
  type PublishedFigure,
  papers,
  type Row,
  type Table,
  tableOf,
} from '../papers/index.js';
import type { Experiment } from '../training/experiment.js';
import type { Asked, RecipeSampling } from './asked.js';
import { paperExperiment, paperImage, untold } from './paper-experiment.js';
import { isMeasured } from './taken-figures.js';

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
  latents?: LatentsOf;
  /** Image size, for data that are brought to it. */
  image: Experiment['config']['image'];
  sampling: RecipeSampling;
  /** A published strategy that was tuned for exactly this model. */
  strategy?: string;
  /** Published weights that fit, by the name of their file. */
  weights?: string;
  /** What is not known of its training, which takes given weights then. */
  untold: readonly string[];
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
  { scale, row: only }: { scale: Scale; row?: string | undefined },
): (Recipe | LeftOut)[] {
  if (!tableNames.includes(table)) {
    throw new UserError(
      `There is no table '${table}'`,
      `Did you mean ${nearestName(table, tableNames)}? Expected one of ${tableNames.join(', ')}`,
    );
  }
  const { rows } = tableOf(table);
  const names = rows.map(({ name }) => name);
  if (only !== undefined && !names.includes(only)) {
    throw new UserError(
      `Table '${table}' has no row '${only}'`,
      `Did you mean '${nearestName(only, names)}'? Its rows: ${names.join('; ')}`,
    );
  }
  return rows
    .filter(({ name }) => only === undefined || name === only)
    .map((row) => recipeOf(tableOf(table), row, scale));
}

function recipeOf(table: Table, row: Row, scale: Scale): Recipe | LeftOut {
  const leftOut = (reason: string): LeftOut => ({
    ...{ kind: 'left out', table: table.id, row: row.name, reason },
  });
  const asked = askedOf(row);
  const named = { kind: 'recipe', table: table.id, row: row.name, asked } as const;
  if (asked.length > 0 && !asked.some(isMeasured))
    return leftOut('nothing here computes its figures');
  if (scale === 'workbook') {
    if (row.workbook === undefined) return leftOut('it has no twin at workbook scale');
    const experiment = findExperiment(row.workbook);
    const { latents, unlabelled, labelledAsTrained } = row;
    // An autoencoder that was trained on noisy latents takes their noise away itself.
    const denoising = latents && takesNoise(latents) ? 0 : 1;
    return {
      ...{ ...named, scale, dataset: experiment.dataset, needsFolder: false },
      image: experiment.config.image,
      experiment: () => experiment,
      sampling: {
        ...{ denoising, ...(unlabelled && { unlabelled }) },
        ...(labelledAsTrained && { labelledAsTrained }),
      },
      ...{ untold: [], ...(latents && { latents }) },
    };
  }
  const { paper } = row;
  if (!paper) return leftOut('a figure of another method, quoted for comparison');
  const missing = missingOf(paper);
  if (missing !== undefined) return leftOut(missing);
  return {
    ...{ ...named, scale, dataset: paper.dataset as string, needsFolder: true },
    image: paperImage(paper),
    experiment: (trainingImages) => paperExperiment(paper, trainingImages),
    sampling: paper.sampling ?? { denoising: 1 },
    untold: untold(paper),
    ...(row.strategy !== undefined && { strategy: row.strategy }),
    ...(row.weights !== undefined && { weights: row.weights }),
  };
}

function takesNoise({ autoencoder }: LatentsOf): boolean {
  const { config } = findExperiment(autoencoder);
  return ability(familyOf(config.kind), 'autoencoder').latentNoise?.(config) !== undefined;
}

/** Why a model of a paper cannot be made here; undefined where it can. */
function missingOf({ dataset, data }: PaperScale): string | undefined {
  return dataset === undefined ? `no reader of ${data} is here` : undefined;
}

function askedOf({ published, measures }: Row): Asked[] {
  const asked = published.map(
    ({ measure, of, value }: PublishedFigure): Asked => ({
      measure,
      ...(of !== undefined && { of }),
      published: value,
    }),
  );
  const ours = (measures ?? []).filter((name) => !asked.some(({ measure }) => measure === name));
  return [...asked, ...ours.map((measure) => ({ measure }))];
}
