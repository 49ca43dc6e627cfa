import * as fs from 'node:fs';
import * as path from 'node:path';
import { UserError } from '../backend/errors.js';
import { type DataSource, openDataset, type Split } from '../data/index.js';
import type { FeatureNetwork } from '../evaluation/features/network.js';
import { weightsDigest } from '../evaluation/test-readings.js';
import { disposeModel } from '../flow/flow.js';
import type { Model } from '../flow/model.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import { familyOf } from '../models/registry.js';
import type { Experiment } from '../training/experiment.js';
import type { StepRecord } from '../training/record.js';
import { RunFolder } from '../training/run-folder.js';
import { train } from '../training/train.js';
import { Bench, type HeldOut, type MeasureOptions, type Splits } from './bench.js';
import { KeptFigures } from './kept-figures.js';
import type { Asked, Recipe } from './recipe.js';
import { distanceOf, type Figure, measured, overTrainings } from './taken-figures.js';

/** How rows are reproduced. */
export interface ReproduceOptions extends MeasureOptions {
  /** Where runs and figures go; what is there already is not made again. */
  out: string;
  /** The user's folder of data, at the paper's scale. */
  folder?: string | undefined;
  /** A checkpoint to measure in place of training one. */
  weights?: string | undefined;
  /** A file with the statistics of real images; absent: those of the training split. */
  statistics?: string | undefined;
  /** Opens the network by whose features samples are compared. */
  openNetwork: () => Promise<FeatureNetwork>;
  /** Seeds of the trainings, one each; default the experiment's own. */
  seeds?: readonly number[] | undefined;
  /** Changes an experiment before it is trained, for example to a smaller one. */
  change?: (experiment: Experiment) => Experiment;
  /** Opens data; default `openDataset`. */
  open?: ((recipe: Recipe, split: Split) => DataSource | Promise<DataSource>) | undefined;
  /** The ledger of readings of test splits. */
  ledger: string;
  /** Called before a training, with what is trained and in which folder. */
  onBegin?: (experiment: Experiment, folder: string) => void;
  onStep?: (record: StepRecord, settings: Experiment['settings']) => void;
}

/** A figure of a row: what is asked for, and what was measured or why nothing was. */
export interface RowFigure extends Asked {
  ours: Figure | string;
}

/** What came of a row. */
export interface RowResult {
  row: string;
  /** What was trained or read for it. */
  model: string;
  figures: RowFigure[];
  seconds: number;
}

/**
 * One split of a row's data.
 * @throws UserError where they are not there, or their folder is not given
 */
export async function openSplit(
  recipe: Recipe,
  split: Split,
  { folder, open }: Pick<ReproduceOptions, 'folder' | 'open'>,
): Promise<DataSource> {
  const { row, dataset, needsFolder, image } = recipe;
  if (open) return open(recipe, split);
  if (!needsFolder) return openDataset(dataset, split, { image });
  if (folder !== undefined) return openDataset(`${dataset}:${folder}`, split, { image });
  throw new UserError(`${row} needs the data set ${dataset}`, 'Give its folder by --data');
}

/** The splits that a row is trained on and chosen by. */
export async function openSplits(
  recipe: Recipe,
  options: Pick<ReproduceOptions, 'folder' | 'open'>,
): Promise<Splits> {
  return {
    train: await openSplit(recipe, 'train', options),
    validation: await openSplit(recipe, 'validation', options),
  };
}

/**
 * Checks that a row can be run with what is given.
 * @throws UserError where it takes weights, and none are given
 */
export function checkRecipe(
  { row, untold, weights: published }: Recipe,
  { weights, change }: Pick<ReproduceOptions, 'weights' | 'change'>,
): void {
  if (weights !== undefined || change || untold.length === 0) return;
  throw new UserError(
    `The paper of ${row} does not say ${untold.join(' and ')}`,
    published === undefined ? 'Give weights by --weights' : `Give ${published} by --weights`,
  );
}

/** The experiment of a row, changed as the options say. */
export function experimentOf(
  recipe: Recipe,
  { train: { length } }: Splits,
  { change }: Pick<ReproduceOptions, 'change'>,
): Experiment {
  const experiment = recipe.experiment(length);
  return change?.(experiment) ?? experiment;
}

/**
 * Makes the figures of a row: trains its model or reads its weights, and measures what the table
 * reports. Every figure is kept as soon as it is there, so that what was stopped goes on.
 *
 * @throws UserError where data or weights do not fit, and where the signal stops a training, which is
 *   saved; else the signal's reason
 */
export async function reproduceRow(
  recipe: Recipe,
  splits: Splits,
  options: ReproduceOptions,
): Promise<RowResult> {
  const begun = performance.now();
  checkRecipe(recipe, options);
  const row = new RowRun(recipe, splits, options);
  const isSeries = ({ measure }: Asked) => measure === 'best σ';
  const figures: RowFigure[] = [];
  for (const asked of recipe.asked.filter(isSeries)) {
    figures.push({ ...asked, ours: await row.bestNoise() });
  }
  const plain = recipe.asked.filter((asked) => !isSeries(asked));
  if (plain.length > 0) figures.push(...(await row.figures(plain)));
  return {
    row: recipe.row,
    model: row.title(),
    figures,
    seconds: (performance.now() - begun) / 1000,
  };
}

/** Deviations of the training noise that are tried for the best one. */
const noiseWidths = [0.02, 0.05, 0.1, 0.15, 0.2];

class RowRun {
  private readonly experiment: Experiment;
  private readonly folder: string;

  constructor(
    private readonly recipe: Recipe,
    private readonly splits: Splits,
    private readonly options: ReproduceOptions,
  ) {
    this.experiment = experimentOf(recipe, splits, options);
    this.folder = path.join(options.out, fileName(recipe.table), fileName(recipe.row));
  }

  /** The experiment and its model, for a table. */
  title(): string {
    const { name, config } = this.experiment;
    return `${name} (${familyOf(config.kind).title(config)})`;
  }

  /** Figures of the row's model; of several trainings their means. */
  async figures(all: readonly Asked[]): Promise<RowFigure[]> {
    const { seeds = [this.experiment.settings.seed], weights } = this.options;
    const taken: RowFigure[][] = [];
    for (const seed of weights === undefined ? seeds : seeds.slice(0, 1)) {
      const { settings } = this.experiment;
      taken.push(
        await this.figuresOf({ ...this.experiment, settings: { ...settings, seed } }, all),
      );
    }
    return all.map((asked, i) => ({
      ...asked,
      ours: overTrainings(taken.map((figures) => (figures[i] as RowFigure).ours)),
    }));
  }

  private async figuresOf(experiment: Experiment, all: readonly Asked[]): Promise<RowFigure[]> {
    const run = `${experiment.name}-seed-${experiment.settings.seed}`;
    const flow = await this.model(experiment, run);
    const { options, recipe } = this;
    try {
      const kept = await KeptFigures.open(path.join(this.folder, `${run}.json`), {
        ...{ weights: weightsDigest(flow), sampling: recipe.sampling, samples: options.samples },
        ...{ batch: options.batch, seed: options.seed, repeats: options.repeats },
        ...{ images: options.images ?? null, network: options.network ?? null },
        statistics: options.statistics ?? null,
      });
      const bench = this.bench(flow, experiment, await this.validations(experiment, run));
      const place = {
        open: async () => openSplit(recipe, 'test', options),
        ...{ ledger: options.ledger, model: run },
        reason: `the row '${recipe.row}' of the table '${recipe.table}'`,
      };
      const figures: RowFigure[] = [];
      try {
        for (const asked of all) {
          options.signal?.throwIfAborted();
          const ours = kept.read(asked) ?? (await measured(bench, asked, place));
          await kept.write(asked, ours);
          figures.push({ ...asked, ours });
        }
      } finally {
        await bench.dispose();
      }
      return figures;
    } finally {
      disposeModel(flow);
    }
  }

  /** What a training measured on held-out images; undefined for given weights. */
  private async validations({ settings }: Experiment, run: string): Promise<HeldOut[] | undefined> {
    if (this.options.weights !== undefined) return undefined;
    const records = await new RunFolder(this.runFolder(run)).records();
    const images = Math.min(settings.validationImages, this.splits.validation.length);
    return records.flatMap(({ step, validation }) =>
      validation ? [{ step, loss: validation.loss, images }] : [],
    );
  }

  /** Where a training is: rows of the same experiment share it. */
  private runFolder(run: string): string {
    return path.join(this.options.out, 'runs', run);
  }

  /** The noise after which samples, denoised, have the least distance: a training for each width. */
  async bestNoise(): Promise<Figure | string> {
    if (this.options.weights !== undefined) return 'it takes a training for each noise';
    const tried: { sigma: number; figure: Figure }[] = [];
    for (const sigma of noiseWidths) {
      const { settings } = this.experiment;
      const noise = { kind: 'gaussian', sigma } as const;
      const experiment = { ...this.experiment, settings: { ...settings, noise } };
      const flow = await this.model(experiment, `${this.experiment.name}-${sigma}`);
      const bench = this.bench(flow, experiment);
      try {
        tried.push({ sigma, figure: await distanceOf(bench) });
      } finally {
        await bench.dispose();
        disposeModel(flow);
      }
    }
    const best = tried.reduce((least, each) =>
      each.figure.value < least.figure.value ? each : least,
    );
    const distances = tried.map(({ sigma, figure }) => `${sigma}: ${figure.value.toPrecision(4)}`);
    return {
      ...best.figure,
      value: best.sigma,
      note: `one training each; Fréchet distances ${distances.join(', ')}`,
    };
  }

  private bench(flow: Model, { settings }: Experiment, validations?: HeldOut[]): Bench {
    const { splits, options, recipe } = this;
    return new Bench({
      ...{ flow, splits, options, noise: settings.noise, sampling: recipe.sampling },
      ...{ openNetwork: options.openNetwork, strategy: recipe.strategy, validations },
      statistics: options.statistics,
    });
  }

  /** The given weights, or those of a training in a folder of the row, which goes on where it was. */
  private async model(experiment: Experiment, name: string): Promise<Model> {
    const { options, splits } = this;
    if (options.weights !== undefined) return givenModel(this.recipe, experiment, options.weights);
    const { config, settings } = experiment;
    const folder = this.runFolder(name);
    options.onBegin?.(experiment, folder);
    const { model, finished } = await train({
      ...{ family: familyOf(config.kind), config, settings, folder },
      ...{ data: splits.train, validation: splits.validation, experiment: experiment.name },
      resume: fs.existsSync(path.join(folder, 'run.json')),
      onStep: (record) => options.onStep?.(record, settings),
      ...(options.signal && { signal: options.signal }),
      ...(options.mode && { mode: options.mode }),
    });
    disposeModel(model);
    // As everyone will load it: the running mean of the weights where the run kept one.
    if (finished) return loadCheckpoint(new RunFolder(folder).checkpoint);
    throw new UserError(
      `The training of ${this.recipe.row} was stopped and saved`,
      'Give the same command again, and it goes on',
    );
  }
}

/** Weights from a file, which have to be of the row's model. */
async function givenModel(
  { row, image }: Recipe,
  { config }: Experiment,
  file: string,
): Promise<Model> {
  const flow = await loadCheckpoint(file, { imageChannels: image.channels });
  const [found, expected] = [descriptionOf(flow.config), descriptionOf(config)];
  if (found === expected) return flow;
  disposeModel(flow);
  throw new UserError(
    `${file} holds ${found}`,
    `${row} is ${expected}; give its weights, or leave --weights away to train it`,
  );
}

function descriptionOf(config: Experiment['config']): string {
  const { channels, height, width } = config.image;
  const title = familyOf(config.kind).title(config);
  return `${config.kind} ${title} of images ${channels}×${height}×${width}, ${config.classes} classes`;
}

/** A name as that of a folder. */
function fileName(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}
