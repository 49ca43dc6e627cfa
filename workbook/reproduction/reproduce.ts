import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import type { ThreadUse } from '@tarflow/graph';
import { currentEngine, type EngineReport } from '../../src/core/engine.js';
import { Interruption, UserError } from '../../src/core/errors.js';
import { type DataSource, openDataset, type Split } from '../../src/data/index.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import { ability, disposeModel } from '../../src/flow/flow.js';
import { type LoadedModel, loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { familyOf } from '../../src/models/registry.js';
import { checkSource } from '../../src/training/checks.js';
import type { Experiment } from '../../src/training/experiment.js';
import { heldOutSize } from '../../src/training/measure.js';
import type { StepRecord } from '../../src/training/record.js';
import { RunFolder } from '../../src/training/run-folder.js';
import { titleOfCheckpoint } from '../../src/training/saved-state.js';
import { train } from '../../src/training/train.js';
import { findExperiment } from '../experiments/index.js';
import type { Asked } from './asked.js';
import { basisDigest, basisOf } from './basis.js';
import {
  Bench,
  type HeldOut,
  type LatentDecoder,
  type SamplesPlace,
  type SharedStatistics,
  type Splits,
} from './bench.js';
import { FollowedTraining } from './followed.js';
import { type Basis, KeptFigures } from './kept-figures.js';
import { openOwnDecoder, openOwnLatents } from './own-latents.js';
import { PartialSamples } from './partial-samples.js';
import { modelsLatents, type Recipe, readsNoisyLatents } from './recipe.js';
import type { ReproduceOptions } from './reproduce-options.js';
import { rowCost } from './row-cost.js';
import {
  comparesSamples,
  distanceOf,
  type Figure,
  measured,
  methodOf,
  overTrainings,
  whyNever,
} from './taken-figures.js';
import { WorkingTime } from './working-time.js';

/** A figure of a row: what is asked for, and what was measured or why nothing was. */
export interface RowFigure extends Asked {
  ours: Figure | string;
  /**
   * True where it can never be had of this model here, for want of a measure or of a block. That it is
   * not there is no failure then.
   */
  never?: true;
}

/** How a row was measured, beside what its figures say. */
export interface RowSettings {
  /** Of the trainings, in the order of a figure's values; none where weights were given. */
  seeds: number[];
  /** Of samples and of dequantisation noise. */
  seed: number;
  /** Images sampled and timed together. */
  batch: number;
  /** The checkpoint that was given, in place of a training. */
  weights?: string;
  /** The file with the statistics of real images that was given. */
  statistics?: string;
  engine: EngineReport;
}

/** What came of a row. */
export interface RowResult {
  row: string;
  /** What was trained or read for it. */
  model: string;
  parameters: number;
  /** One of its trainings; absent where weights were given. */
  training?: { steps: number; batchSize: number; operations: number };
  /** How it was measured. */
  settings: RowSettings;
  figures: RowFigure[];
  /** What its trainings and figures took, over all calls that worked on it. */
  seconds: number;
}

/** How data are opened. */
type OpeningOptions = Pick<
  ReproduceOptions,
  'folder' | 'open' | 'checkpoints' | 'out' | 'onProgress' | 'signal' | 'mode'
>;

/**
 * One split of a row's data; latents that are made here are made first.
 * @throws UserError where they are not there, or their folder is not given
 */
export async function openSplit(
  recipe: Recipe,
  split: Split,
  options: OpeningOptions,
): Promise<DataSource> {
  const { row, dataset, needsFolder, image, latents } = recipe;
  const { folder, open } = options;
  if (open) return open(recipe, split);
  if (latents) {
    const images = await openSplit(imagesOfLatents(recipe), split, options);
    return openOwnLatents(latents, images, options);
  }
  if (!needsFolder) return openDataset(dataset, split, { image });
  if (folder !== undefined) return openDataset(`${dataset}:${folder}`, split, { image });
  throw new UserError(
    `${row} needs the data set ${dataset}`,
    dataset === 'latents'
      ? 'Give a folder with latents of every split, written by `tarflow encode`, by --data'
      : 'Give its folder by --data',
  );
}

/** The images that a row's latents are made of, opened as the data of a recipe. */
export function imagesOfLatents({ latents, ...recipe }: Recipe): Recipe {
  if (!latents) return recipe;
  const { image } = findExperiment(latents.autoencoder).config;
  return { ...recipe, dataset: latents.images, image };
}

/** The splits that a row is trained on and chosen by. */
export async function openSplits(recipe: Recipe, options: OpeningOptions): Promise<Splits> {
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
    `Give ${published ?? 'its weights'} by --weights, and choose this row alone by --row`,
  );
}

/** The experiment of a row, changed as the options say. */
export function experimentOf(
  recipe: Recipe,
  trainingImages: number,
  { change }: Pick<ReproduceOptions, 'change'>,
): Experiment {
  const experiment = recipe.experiment(trainingImages);
  return change?.(experiment) ?? experiment;
}

/** Whether all trainings of a row, one for each seed and width of noise that is tried, are done. */
export async function isTrained(
  recipe: Recipe,
  experiment: Experiment,
  options: Pick<ReproduceOptions, 'out' | 'seeds'>,
): Promise<boolean> {
  const { steps, seed } = experiment.settings;
  const { seeds = [seed] } = options;
  const begun = await trainingsOf(recipe, experiment, options);
  // One that is followed in two ways, or of two sets of latents, is there twice.
  const done = new Set(begun.filter(({ step }) => step === steps).map(({ title }) => title));
  return done.size === seeds.length * (triesNoise(recipe) ? noiseWidths.length : 1);
}

/** How threads are used by the first training of a row that is begun and not done; else undefined. */
export async function threadsOfBegun(
  recipe: Recipe,
  experiment: Experiment,
  options: Pick<ReproduceOptions, 'out' | 'seeds'>,
): Promise<ThreadUse | undefined> {
  const begun = await trainingsOf(recipe, experiment, options);
  const open = begun.find(({ step }) => step > 0 && step < experiment.settings.steps);
  return open && (await new RunFolder(open.folder).described()).threads;
}

/** The trainings of a row whose folders are there, with the steps that they have done. */
async function trainingsOf(
  recipe: Recipe,
  { name, settings }: Experiment,
  { out, seeds = [settings.seed] }: Pick<ReproduceOptions, 'out' | 'seeds'>,
): Promise<{ title: string; folder: string; step: number }[]> {
  const own = name.replaceAll(/[^\w-]/g, (character) => `\\${character}`);
  const width = triesNoise(recipe) ? String.raw`-[\d.]+` : '';
  // After the seed stand digests of how it is followed and of its latents.
  const digest = '-[0-9a-f]{8}';
  const followed = recipe.asked.some(({ measure }) => measure === 'correlation of loss and FID');
  const digests = `${followed ? `-followed${digest}` : ''}${modelsLatents(recipe) ? digest : ''}`;
  const named = new RegExp(`^(${own}${width}-seed-(${seeds.join('|')}))${digests}$`);
  const found: { title: string; folder: string; step: number }[] = [];
  for (const run of await readdir(path.join(out, 'runs')).catch(() => [])) {
    const [, title] = named.exec(run) ?? [];
    if (title === undefined) continue;
    const folder = runFolder(out, run);
    found.push({ title, folder, step: (await new RunFolder(folder).records()).at(-1)?.step ?? 0 });
  }
  return found;
}

/** Whether a row is about the best noise, for which each width is trained. */
function triesNoise({ asked }: Recipe): boolean {
  return asked.some(({ measure }) => measure === 'best σ');
}

/** Where a training is: rows of the same experiment share it. */
function runFolder(out: string, run: string): string {
  return path.join(out, 'runs', run);
}

/**
 * Makes the figures of a row: trains its model or reads its weights, and measures what the table
 * reports. Every figure is kept as soon as it is there, and samples of a distance every minute, so that
 * what was stopped goes on.
 *
 * @throws UserError where data or weights do not fit, and where the signal stops a training, which is
 *   saved; else the signal's reason
 */
export async function reproduceRow(
  recipe: Recipe,
  splits: Splits,
  options: ReproduceOptions,
): Promise<RowResult> {
  checkRecipe(recipe, options);
  const row = new RowRun(recipe, splits, options);
  try {
    const time = await WorkingTime.open(path.join(row.folder, 'working-time.json'));
    const made = await time.during(() => figuresOfRow(recipe, row));
    return { ...made, seconds: time.seconds };
  } finally {
    await row.close();
  }
}

/**
 * What decodes the latents of a row.
 * @throws UserError where it is not given, or does not fit
 */
export async function openDecoder(
  recipe: Recipe,
  options: Pick<ReproduceOptions, 'openDecoder' | 'checkpoints' | 'out'>,
): Promise<LatentDecoder> {
  const { latents, row } = recipe;
  if (!options.openDecoder && latents) return openOwnDecoder(latents, options);
  if (!options.openDecoder) {
    throw new UserError(
      `${row} makes latents`,
      'Give the autoencoder that made its data by --autoencoder',
    );
  }
  const decoder = await options.openDecoder(recipe);
  try {
    checkDecoder(recipe, decoder);
    return decoder;
  } catch (error) {
    disposeModel(decoder.autoencoder);
    throw error;
  }
}

/** Checks that a decoder takes the latents of a row, and their noise as the row leaves it. */
function checkDecoder(recipe: Recipe, { autoencoder: { family, config } }: LatentDecoder): void {
  const { images, latentNoise } = ability(family, 'autoencoder');
  images(config, recipe.image);
  const takesNoise = latentNoise?.(config) !== undefined;
  if (takesNoise === readsNoisyLatents(recipe)) return;
  throw takesNoise
    ? new UserError(
        `The decoder takes the noise of latents away, and ${recipe.row} is denoised by its score`,
        'Give an autoencoder that was trained without latentNoise, or choose another row by --row',
      )
    : new UserError(
        `${recipe.row} leaves the noise of its latents to the decoder, and this one reads none`,
        'Give an autoencoder whose decoder went on with latentNoise, as emoji-vae-noisy does, or ' +
          'choose by --row one that is denoised by its score',
      );
}

async function figuresOfRow(recipe: Recipe, row: RowRun): Promise<Omit<RowResult, 'seconds'>> {
  const series: Partial<Record<Asked['measure'], () => Promise<Figure | string>>> = {
    'best σ': () => row.bestNoise(),
    'correlation of loss and FID': () => row.followed(),
  };
  const isSeries = ({ measure }: Asked) => series[measure] !== undefined;
  const figures: RowFigure[] = [];
  for (const asked of recipe.asked.filter(isSeries)) {
    figures.push({ ...asked, ours: (await series[asked.measure]?.()) as Figure | string });
  }
  const plain = recipe.asked.filter((asked) => !isSeries(asked));
  if (plain.length > 0) figures.push(...(await row.figures(plain)));
  return {
    row: recipe.row,
    model: row.title(),
    ...row.cost(),
    settings: row.settings(),
    figures,
  };
}

/** Deviations of the training noise that are tried for the best one. */
export const noiseWidths: readonly number[] = [0.02, 0.05, 0.1, 0.15, 0.2];

class RowRun {
  private readonly experiment: Experiment;
  readonly folder: string;
  private readonly shared: SharedStatistics;
  private opened: Promise<LatentDecoder> | undefined;
  private realOpened: Promise<Splits> | undefined;

  constructor(
    private readonly recipe: Recipe,
    private readonly splits: Splits,
    private readonly options: ReproduceOptions,
  ) {
    this.experiment = experimentOf(recipe, splits.train.length, options);
    this.shared = options.shared ?? new Map();
    for (const split of [splits.train, splits.validation])
      checkSource(this.experiment.config, split);
    this.folder = path.join(options.out, fileName(recipe.table), fileName(recipe.row));
  }

  /** What decodes latents, opened at the first call; undefined where pixels are modelled. */
  private readonly decoder = (): Promise<LatentDecoder> => {
    this.opened ??= openDecoder(this.recipe, this.options);
    return this.opened;
  };

  /** Frees what was opened. */
  async close(): Promise<void> {
    const decoder = await this.opened?.catch(() => undefined);
    if (decoder) disposeModel(decoder.autoencoder);
  }

  /**
   * What a training of a name is called. Latents that are others, of another autoencoder or by another scale,
   * make another training of the same experiment.
   */
  private async runOf(name: string): Promise<string> {
    return modelsLatents(this.recipe) ? `${name}-${await latentsDigest(this.splits.train)}` : name;
  }

  /** What a figure depends on beside the weights. */
  private async basis(measure: Asked['measure']): Promise<Basis> {
    const { recipe, splits, options } = this;
    const decoder =
      modelsLatents(recipe) && comparesSamples(measure) ? await this.decoder() : undefined;
    return basisOf(measure, recipe, splits, options, decoder);
  }

  /** What was trained or read, and its model, for a table. */
  title(): string {
    const { name, config } = this.experiment;
    return `${this.options.weights ?? name} (${familyOf(config.kind).title(config)})`;
  }

  /** What its model and one of its trainings take, by arithmetic. */
  cost(): Pick<RowResult, 'parameters' | 'training'> {
    const { steps, batchSize } = this.experiment.settings;
    const plan = { trainings: 1, samples: 0, guided: false };
    const { parameters, trainingOperations: operations } = rowCost(this.experiment, plan);
    if (this.options.weights !== undefined) return { parameters };
    return { parameters, training: { steps, batchSize, operations } };
  }

  /** Seeds of the trainings; the first alone where weights are given. */
  private seeds(): number[] {
    const { seeds = [this.experiment.settings.seed], weights } = this.options;
    return weights === undefined ? [...seeds] : seeds.slice(0, 1);
  }

  /** How it is measured. */
  settings(): RowSettings {
    const { seed, batch, weights, statistics } = this.options;
    const given = {
      ...(weights !== undefined && { weights }),
      ...(statistics !== undefined && { statistics }),
    };
    return {
      seeds: weights === undefined ? this.seeds() : [],
      seed,
      batch,
      ...given,
      engine: currentEngine(),
    };
  }

  /** Figures of the row's model; of several trainings their means. */
  async figures(all: readonly Asked[]): Promise<RowFigure[]> {
    const taken: RowFigure[][] = [];
    for (const seed of this.seeds()) {
      taken.push(await this.figuresOf(withSettings(this.experiment, { seed }), all));
    }
    return all.map((asked, i) => ({
      ...asked,
      ours: overTrainings(taken.map((figures) => (figures[i] as RowFigure).ours)),
      ...(taken[0]?.[i]?.never && { never: true }),
    }));
  }

  private async figuresOf(experiment: Experiment, all: readonly Asked[]): Promise<RowFigure[]> {
    const { options, recipe } = this;
    const run = await this.runOf(`${experiment.name}-seed-${experiment.settings.seed}`);
    const flow = await this.model(experiment, run);
    const name = options.weights === undefined ? run : titleOfCheckpoint(options.weights);
    const bench = this.bench(flow, experiment, await this.validations(experiment, run));
    try {
      const weights = weightsDigest(flow);
      // What a training's log tells is not told of the same weights in a file.
      const from = options.weights === undefined ? name : `given-${name}`;
      const kept = await KeptFigures.open(path.join(this.folder, `${from}-${weights}.json`));
      const place = {
        open: async () => openSplit(recipe, 'test', options),
        ...{ ledger: options.ledger, model: name },
        reason: `the row '${recipe.row}' of the table '${recipe.table}'`,
      };
      const figures: RowFigure[] = [];
      for (const asked of all) {
        options.signal?.throwIfAborted();
        const basis = await this.basis(asked.measure);
        const samples = this.samplesPlace();
        const take = () => measured(bench, asked, { ...place, samples });
        const never = whyNever(asked, flow) !== undefined;
        const ours = await kept.once(askedName(asked), basis, take);
        await PartialSamples.remove(samples.files);
        figures.push({ ...asked, ours, ...(never && { never }) });
      }
      return figures;
    } finally {
      await bench.dispose();
      disposeModel(flow);
    }
  }

  /** What a training measured on held-out images; undefined for given weights. */
  private async validations({ settings }: Experiment, run: string): Promise<HeldOut[] | undefined> {
    if (this.options.weights !== undefined) return undefined;
    const { validation } = this.splits;
    // Whole batches are measured.
    const size = heldOutSize(settings, validation);
    const most = Math.min(settings.validationImages, validation.length);
    const images = Math.max(1, Math.floor(most / size)) * size;
    const records = await new RunFolder(runFolder(this.options.out, run)).records();
    return records.flatMap(({ step, validation }) =>
      validation ? [{ step, loss: validation.loss, images }] : [],
    );
  }

  /**
   * The noise after which samples, denoised, have the least distance: a training for each width and each
   * seed, and of several seeds the mean.
   */
  async bestNoise(): Promise<Figure | string> {
    if (this.options.weights !== undefined) return 'it takes a training for each noise';
    const tried: { sigma: number; figure: Figure }[] = [];
    for (const sigma of noiseWidths) {
      const figures: (Figure | string)[] = [];
      for (const seed of this.seeds()) figures.push(await this.distanceWithNoise(sigma, seed));
      const figure = overTrainings(figures);
      if (typeof figure === 'string') return `σ = ${sigma}: ${figure}`;
      tried.push({ sigma, figure });
    }
    return bestOf(tried, this.seeds());
  }

  /** The distance of samples after a training with noise of one width. */
  private async distanceWithNoise(sigma: number, seed: number): Promise<Figure | string> {
    const noise = { kind: 'gaussian', sigma } as const;
    const experiment = withSettings(this.experiment, { noise, seed });
    const run = await this.runOf(`${experiment.name}-${sigma}-seed-${seed}`);
    const basis = { ...(await this.basis('best σ')), sigma };
    const kept = await KeptFigures.open(path.join(this.folder, `${run}.json`));
    const samples = this.samplesPlace();
    const figure = await kept.once('FID', basis, async () =>
      this.distanceOfModel(await this.model(experiment, run), experiment, samples),
    );
    await PartialSamples.remove(samples.files);
    return figure;
  }

  /** The correlation of loss and distance, over one training or as the mean over several. */
  async followed(): Promise<Figure | string> {
    if (this.options.weights !== undefined) return 'it takes a training that is followed';
    const figures: (Figure | string)[] = [];
    for (const seed of this.seeds()) figures.push(await this.followedWith(seed));
    return overTrainings(figures);
  }

  /** A training that is followed: at every saved validation the distance of its samples is measured. */
  private async followedWith(seed: number): Promise<Figure | string> {
    const experiment = withSettings(this.experiment, { seed });
    const basis = await this.basis('correlation of loss and FID');
    // Another way of measuring follows another training: this one passes each step once.
    const run = await this.runOf(`${experiment.name}-seed-${seed}-followed-${basisDigest(basis)}`);
    const training = await FollowedTraining.open(path.join(this.folder, `${run}.jsonl`));
    const folder = new RunFolder(runFolder(this.options.out, run));
    const follow = async ({ step, validation }: StepRecord): Promise<void> => {
      if (!validation || step % experiment.settings.saveEvery !== 0 || training.has(step)) return;
      const samples = this.samplesPlace();
      const flow = await loadCheckpoint(folder.checkpoint);
      const figure = await this.distanceOfModel(flow, experiment, samples);
      if (typeof figure === 'string') return;
      const { value: distance, n, network = '' } = figure;
      await training.add({ step, loss: validation.loss, distance, n, network });
      await PartialSamples.remove(samples.files);
    };
    // A step may have been saved, and the distance of its samples not yet measured; or written down, and
    // not yet saved: then it comes again.
    const last = (await folder.records()).at(-1);
    if (last && (await savedSteps(folder.checkpoint)) === last.step) await follow(last);
    disposeModel(await this.model(experiment, run, follow));
    return training.figure();
  }

  /** The distance of a model's samples; the model is freed. */
  private async distanceOfModel(
    flow: LoadedModel,
    experiment: Experiment,
    samples: SamplesPlace,
  ): Promise<Figure | string> {
    const bench = this.bench(flow, experiment);
    try {
      return await distanceOf(bench, { samples });
    } finally {
      await bench.dispose();
      disposeModel(flow);
    }
  }

  private samplesPlace(): SamplesPlace {
    return { folder: this.folder, files: [] };
  }

  private bench(
    flow: LoadedModel,
    { settings }: Experiment,
    validations?: readonly HeldOut[],
  ): Bench {
    const { splits, options, recipe, shared, decoder } = this;
    const real = () => {
      this.realOpened ??= openSplits(imagesOfLatents(recipe), options);
      return this.realOpened;
    };
    // What the weights' file says goes first: a paper may not tell the noise.
    const noise = flow.details.noise ?? (recipe.untold.length > 0 ? noNoise : settings.noise);
    return new Bench({
      ...{ flow, splits, options, noise, sampling: recipe.sampling, shared },
      decoder: modelsLatents(recipe) ? decoder : undefined,
      real: recipe.latents ? real : undefined,
      ...{ openNetwork: options.openNetwork, strategy: recipe.strategy, validations },
      methods: new Set(recipe.asked.flatMap(methodOf)),
      statistics: options.statistics,
    });
  }

  /** The given weights, or those of a training in a folder of its own, which goes on where it was. */
  private async model(
    experiment: Experiment,
    name: string,
    onStep?: (record: StepRecord) => Promise<void>,
  ): Promise<LoadedModel> {
    const { options, splits } = this;
    if (options.weights !== undefined) return givenModel(this.recipe, experiment, options.weights);
    const { config, settings } = experiment;
    const folder = runFolder(this.options.out, name);
    const { model, finished } = await train({
      ...{ family: familyOf(config.kind), config, settings, folder },
      ...{ data: splits.train, validation: splits.validation, experiment: experiment.name },
      resume: fs.existsSync(path.join(folder, 'run.json')),
      onBegin: ({ step }) => options.onBegin?.(experiment, step),
      onStep: async (record) => {
        options.onStep?.(record, settings);
        await onStep?.(record);
      },
      ...(options.signal && { signal: options.signal }),
      ...(options.mode && { mode: options.mode }),
    });
    disposeModel(model);
    // As everyone will load it: the running mean of the weights where the run kept one.
    if (finished) return loadCheckpoint(new RunFolder(folder).checkpoint);
    throw new Interruption(
      `The training of ${this.recipe.row} was stopped and saved`,
      'Give the same command again, and it goes on',
    );
  }
}

/** The steps behind a checkpoint; undefined where there is none. */
async function savedSteps(checkpoint: string): Promise<number | undefined> {
  if (!fs.existsSync(checkpoint)) return undefined;
  const model = await loadCheckpoint(checkpoint);
  disposeModel(model);
  return model.details.steps;
}

const noNoise = { kind: 'none' } as const;

function withSettings(
  experiment: Experiment,
  changed: Partial<Experiment['settings']>,
): Experiment {
  return { ...experiment, settings: { ...experiment.settings, ...changed } };
}

/** Of some noises the one of the least distance. */
function bestOf(
  tried: readonly { sigma: number; figure: Figure }[],
  seeds: readonly number[],
): Figure {
  const best = tried.reduce((least, each) =>
    each.figure.value < least.figure.value ? each : least,
  );
  const told = tried.map(({ sigma, figure: { value, note } }) => {
    return `${sigma}: ${value.toPrecision(4)} (${note})`;
  });
  const { n, network } = best.figure;
  const [first] = seeds;
  const trained =
    seeds.length > 1 ? `trainings of seeds ${seeds.join(', ')}` : `one training of seed ${first}`;
  return {
    ...{ value: best.sigma, n },
    ...(network !== undefined && { network }),
    note: `${trained} each; Fréchet distances ${told.join('; ')}`,
  };
}

function askedName({ measure, of }: Asked): string {
  return of === undefined ? measure : `${measure}, ${of}`;
}

/** Weights from a file, which have to be of the row's model and noise. */
async function givenModel(
  { row, image, untold }: Recipe,
  { config, settings }: Experiment,
  file: string,
): Promise<LoadedModel> {
  const flow = await loadCheckpoint(file, { imageChannels: image.channels });
  const { noise = settings.noise } = flow.details;
  const [found, expected] = [
    descriptionOf(flow.config, noise),
    descriptionOf(config, settings.noise),
  ];
  const known = untold.length === 0 ? [found, expected] : [found, expected].map(withoutNoise);
  if (known[0] === known[1]) return flow;
  disposeModel(flow);
  throw new UserError(
    `${file} holds ${found}`,
    `${row} is ${expected}; give its weights, or leave --weights out to train it`,
  );
}

/** All that tells models of a family apart but the width of a head, which files may not say. */
function descriptionOf(
  { kind, image, classes, ...rest }: Experiment['config'],
  noise: Experiment['settings']['noise'],
): string {
  const { channels, height, width } = image;
  const fields = Object.entries(rest)
    .filter(([name, value]) => name !== 'headWidth' && value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  return [
    `a ${kind} of images ${channels}×${height}×${width} with ${classes} classes`,
    ...fields,
    noise.kind === 'gaussian' ? `Gaussian noise of ${noise.sigma}` : `${noise.kind} noise`,
  ].join(', ');
}

function withoutNoise(description: string): string {
  return description.slice(0, description.lastIndexOf(', '));
}

/** A name as that of a folder. */
function fileName(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}

/** Eight characters that tell latents apart, by the first of them and how many they are. */
async function latentsDigest(data: DataSource): Promise<string> {
  const indices = Array.from({ length: Math.min(8, data.length) }, (_, i) => i);
  const { values } = await data.read(indices);
  return createHash('sha256').update(`${data.length}`).update(values).digest('hex').slice(0, 8);
}
