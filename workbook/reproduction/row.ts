import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import * as path from 'node:path';
import { currentEngine } from '../../src/core/engine.js';
import { Interruption } from '../../src/core/errors.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { type LoadedModel, loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { familyOf } from '../../src/models/registry.js';
import { titleOfCheckpoint } from '../../src/training/checkpoint.js';
import { checkSource } from '../../src/training/checks.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { StepRecord } from '../../src/training/record.js';
import { heldOutSize } from '../../src/training/record.js';
import { RunFolder } from '../../src/training/run-folder.js';
import { train } from '../../src/training/train.js';
import type { MeasureName } from '../papers/index.js';
import {
  type Figure,
  type RowFigure,
  type RowResult,
  readRecord,
  writeRecord,
} from '../records/record.js';
import type { ReproducedTable } from '../records/table.js';
import { modelCost, trainingOperations } from './cost.js';
import {
  imagesOfLatents,
  latentsDigest,
  openDecoder,
  openSplit,
  openSplits,
  type Splits,
} from './data.js';
import { distanceOf, type HeldOut, measured, overTrainings, whyNever } from './figures.js';
import { type Asked, askedName, comparesSamples, isOfSeries } from './measurable.js';
import { MeasuredModel } from './measured-model.js';
import type { LatentDecoder, ReproduceOptions } from './options.js';
import {
  addPoint,
  type Basis,
  correlationOf,
  followedPoints,
  keptFigure,
  samplesPrefix,
  timedOverCalls,
} from './partial-work.js';
import { type LeftOut, modelsLatents, type Recipe, recipesOf } from './recipe.js';
import {
  checkRecipe,
  experimentOf,
  givenModel,
  noiseWidths,
  runFolder,
  savedSteps,
  withSettings,
} from './trainings.js';

/**
 * The rows that a table's file holds; none where there is no file.
 * @throws UserError for a file that is damaged, or was written before rows said their settings
 */
export async function readRows(file: string): Promise<RowResult[]> {
  return (await readRecord('table', file))?.results ?? [];
}

/**
 * Writes a row into a table's file, in the order of its rows. The others stay as the file has them: each
 * says by itself how it was measured.
 *
 * @returns what the file holds now
 * @throws UserError as {@link readRows}
 */
export async function writeRow(
  file: string,
  made: RowResult,
  table: Omit<ReproducedTable, 'results' | 'leftOut'>,
): Promise<ReproducedTable> {
  const rows = recipesOf(table.table, { scale: table.scale });
  const known = [made, ...(await readRows(file))];
  const results = rows.flatMap(({ row }) => known.find((each) => each.row === row) ?? []);
  const leftOut = rows.filter((each): each is LeftOut => each.kind === 'left out');
  const whole = { ...table, results, leftOut };
  await writeRecord<'table'>(file, whole);
  return whole;
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
    const file = path.join(row.folder, 'working-time.json');
    const { result, seconds } = await timedOverCalls(file, () => row.result());
    return { ...result, seconds };
  } finally {
    await row.close();
  }
}

/** The trainings and models of a row, and what is measured of them. */
class RowRun {
  private readonly experiment: Experiment;
  readonly folder: string;
  private readonly options: ReproduceOptions;
  /** Seeds of the trainings; the first alone where weights are given. */
  private readonly seeds: readonly number[];
  private opened: Promise<LatentDecoder> | undefined;
  private realOpened: Promise<Splits> | undefined;
  private readonly recipe: Recipe;

  constructor(
    asked: Recipe,
    private readonly splits: Splits,
    options: ReproduceOptions,
  ) {
    this.options = { ...options, shared: options.shared ?? new Map() };
    // Of a part of its samples alone nothing else is measured.
    const measures = asked.asked.filter(({ measure }) => !options.part || measure === 'FID');
    const recipe = { ...asked, asked: measures };
    this.recipe = recipe;
    this.experiment = experimentOf(recipe, splits.train.length, options);
    for (const split of [splits.train, splits.validation]) {
      checkSource(this.experiment.config, split);
    }
    this.folder = path.join(options.out, fileName(recipe.table), fileName(recipe.row));
    const { seeds = [this.experiment.settings.seed], weights } = options;
    this.seeds = weights === undefined ? seeds : seeds.slice(0, 1);
  }

  /** All figures of the row, and what they are of. */
  async result(): Promise<Omit<RowResult, 'seconds'>> {
    const { recipe, experiment, options } = this;
    const { seed, batch, weights, statistics } = options;
    const figures: RowFigure[] = [];
    for (const asked of recipe.asked.filter(({ measure }) => isOfSeries(measure))) {
      figures.push({ ...asked, ours: await this.ofSeries(asked.measure) });
    }
    const plain = recipe.asked.filter(({ measure }) => !isOfSeries(measure));
    if (plain.length > 0) figures.push(...(await this.figures(plain)));
    if (!options.part) await this.forgetSamples();
    const { steps, batchSize } = experiment.settings;
    const training = { steps, batchSize, operations: trainingOperations(experiment) };
    const isTrained = weights === undefined;
    return {
      row: recipe.row,
      model: `${weights ?? experiment.name} (${familyOf(experiment.config.kind).title(experiment.config)})`,
      parameters: modelCost(experiment.config).parameters,
      training: isTrained ? training : undefined,
      settings: {
        seeds: isTrained ? [...this.seeds] : [],
        seed,
        batch,
        weights,
        statistics,
        engine: currentEngine(),
      },
      figures,
    };
  }

  /** Frees what was opened. */
  async close(): Promise<void> {
    const decoder = await this.opened?.catch(() => undefined);
    if (decoder) disposeModel(decoder.autoencoder);
  }

  /** Deletes samples that were kept for a distance which is there now. */
  private async forgetSamples(): Promise<void> {
    const names = await readdir(this.folder).catch(() => []);
    const samples = names.filter((name) => name.startsWith(samplesPrefix));
    await Promise.all(samples.map((name) => rm(path.join(this.folder, name), { force: true })));
  }

  /** What decodes latents, opened at the first call. */
  private readonly decoder = (): Promise<LatentDecoder> => {
    this.opened ??= openDecoder(this.recipe, this.options);
    return this.opened;
  };

  /**
   * What a training of a name is called. Latents that are others, of another autoencoder or by another scale,
   * make another training of the same experiment.
   */
  private async runOf(name: string): Promise<string> {
    return modelsLatents(this.recipe) ? `${name}-${await latentsDigest(this.splits.train)}` : name;
  }

  /** What a figure depends on beside the weights. */
  private async basis(measure: MeasureName): Promise<Basis> {
    const { recipe, splits, options } = this;
    const decoder =
      modelsLatents(recipe) && comparesSamples(measure) ? await this.decoder() : undefined;
    return basisOf(measure, recipe, splits, options, decoder);
  }

  /** Figures of the row's model; of several trainings their means. */
  private async figures(all: readonly Asked[]): Promise<RowFigure[]> {
    const taken: RowFigure[][] = [];
    for (const seed of this.seeds) {
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
    // What a training's log tells is not told of the same weights in a file.
    const from = options.weights === undefined ? name : `given-${name}`;
    const file = path.join(this.folder, `${from}-${weightsDigest(flow)}.json`);
    const place = {
      open: async () => openSplit(recipe, 'test', options),
      ledger: options.ledger,
      model: name,
      reason: `the row '${recipe.row}' of the table '${recipe.table}'`,
      validations: await this.validations(experiment, run),
    };
    return this.withMeasured(flow, experiment, async (model) => {
      const figures: RowFigure[] = [];
      for (const asked of all) {
        options.signal?.throwIfAborted();
        const basis = await this.basis(asked.measure);
        const never = whyNever(asked, flow) !== undefined;
        const take = () => measured(model, asked, place);
        const ours = await keptFigure(file, askedName(asked), basis, take);
        figures.push({ ...asked, ours, ...(never && { never }) });
      }
      return figures;
    });
  }

  /** What a training measured on held-out images; nothing for given weights. */
  private async validations({ settings }: Experiment, run: string): Promise<HeldOut[]> {
    if (this.options.weights !== undefined) return [];
    const { validation } = this.splits;
    // Whole batches are measured.
    const size = heldOutSize(settings, validation);
    const most = Math.min(settings.validationImages, validation.length);
    const images = Math.max(1, Math.floor(most / size)) * size;
    const records = await new RunFolder(runFolder(this.options.out, run)).records();
    return records.flatMap(({ step, validation }) =>
      validation ? [{ step, validation, images }] : [],
    );
  }

  /** A figure of a series of trainings. */
  private async ofSeries(measure: MeasureName): Promise<Figure | string> {
    const best = measure === 'best σ';
    if (this.options.weights !== undefined) {
      return best ? 'it takes a training for each noise' : 'it takes a training that is followed';
    }
    return best ? this.bestNoise() : this.overSeeds((seed) => this.followedWith(seed));
  }

  private async overSeeds(take: (seed: number) => Promise<Figure | string>) {
    const figures: (Figure | string)[] = [];
    for (const seed of this.seeds) figures.push(await take(seed));
    return overTrainings(figures);
  }

  /**
   * The noise after which samples, denoised, have the least distance: a training for each width and each
   * seed, and of several seeds the mean.
   */
  private async bestNoise(): Promise<Figure | string> {
    const tried: { sigma: number; figure: Figure }[] = [];
    for (const sigma of noiseWidths) {
      const figure = await this.overSeeds((seed) => this.distanceWithNoise(sigma, seed));
      if (typeof figure === 'string') return `σ = ${sigma}: ${figure}`;
      tried.push({ sigma, figure });
    }
    return bestOf(tried, this.seeds);
  }

  /** The distance of samples after a training with noise of one width. */
  private async distanceWithNoise(sigma: number, seed: number): Promise<Figure | string> {
    const noise = { kind: 'gaussian', sigma } as const;
    const experiment = withSettings(this.experiment, { noise, seed });
    const run = await this.runOf(`${experiment.name}-${sigma}-seed-${seed}`);
    const basis = { ...(await this.basis('best σ')), sigma };
    return keptFigure(path.join(this.folder, `${run}.json`), 'FID', basis, async () =>
      this.withMeasured(await this.model(experiment, run), experiment, distanceOf),
    );
  }

  /**
   * The correlation of loss and distance over a training that is followed: at every saved validation the
   * distance of its samples is measured.
   */
  private async followedWith(seed: number): Promise<Figure | string> {
    const experiment = withSettings(this.experiment, { seed });
    const basis = await this.basis('correlation of loss and FID');
    // Another way of measuring follows another training: this one passes each step once.
    const run = await this.runOf(`${experiment.name}-seed-${seed}-followed-${basisDigest(basis)}`);
    const file = path.join(this.folder, `${run}.jsonl`);
    const done = new Set((await followedPoints(file)).map(({ step }) => step));
    const folder = new RunFolder(runFolder(this.options.out, run));
    const follow = async ({ step, validation }: StepRecord): Promise<void> => {
      if (!validation || step % experiment.settings.saveEvery !== 0 || done.has(step)) return;
      const flow = await loadCheckpoint(folder.checkpoint);
      const figure = await this.withMeasured(flow, experiment, distanceOf);
      if (typeof figure === 'string') return;
      const { value: distance, n, network = '' } = figure;
      await addPoint(file, { step, loss: validation.loss, distance, n, network });
      done.add(step);
    };
    // A step may have been saved, and the distance of its samples not yet measured; or written down, and
    // not yet saved: then it comes again.
    const last = (await folder.records()).at(-1);
    if (last && (await savedSteps(folder.checkpoint)) === last.step) await follow(last);
    disposeModel(await this.model(experiment, run, follow));
    return correlationOf(await followedPoints(file));
  }

  /** Measures a model, and frees it. */
  private async withMeasured<T>(
    flow: LoadedModel,
    { settings }: Experiment,
    work: (model: MeasuredModel) => Promise<T>,
  ): Promise<T> {
    const { splits, options, recipe, folder } = this;
    const real = () => {
      this.realOpened ??= openSplits(imagesOfLatents(recipe), options);
      return this.realOpened;
    };
    // What the weights' file says goes first: a paper may not tell the noise.
    const usual = recipe.untold.length > 0 ? ({ kind: 'none' } as const) : settings.noise;
    const model = new MeasuredModel({
      flow,
      recipe,
      splits,
      options,
      noise: flow.details.noise ?? usual,
      real: recipe.latents ? real : undefined,
      decoder: modelsLatents(recipe) ? this.decoder : undefined,
      folder,
    });
    try {
      return await work(model);
    } finally {
      await model.dispose();
      disposeModel(flow);
    }
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
      family: familyOf(config.kind),
      config,
      settings,
      folder,
      data: splits.train,
      validation: splits.validation,
      experiment: experiment.name,
      resume: fs.existsSync(path.join(folder, 'run.json')),
      onBegin: ({ step }) => options.onBegin?.(experiment, step),
      onStep: async (record) => {
        options.onStep?.(record, settings);
        await onStep?.(record);
      },
      signal: options.signal,
      mode: options.mode,
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

/** Of some noises the one of the least distance. */
function bestOf(
  tried: readonly { sigma: number; figure: Figure }[],
  seeds: readonly number[],
): Figure {
  const best = tried.reduce((least, each) =>
    each.figure.value < least.figure.value ? each : least,
  );
  const widths = tried.map(({ sigma, figure: { value, note } }) => {
    return `${sigma}: ${value.toPrecision(4)} (${note})`;
  });
  const { n, network } = best.figure;
  const [first] = seeds;
  const trained =
    seeds.length > 1 ? `trainings of seeds ${seeds.join(', ')}` : `one training of seed ${first}`;
  return {
    value: best.sigma,
    n,
    network,
    note: `${trained} each; Fréchet distances ${widths.join('; ')}`,
  };
}

/**
 * What a figure depends on beside the weights, by its measure.
 * @param decoder where latents are modelled
 */
function basisOf(
  measure: MeasureName,
  { sampling, latents }: Recipe,
  { train, validation }: Splits,
  options: ReproduceOptions,
  decoder?: Pick<LatentDecoder, 'digest' | 'scale'>,
): Basis {
  const { samples, batch, seed, repeats, images, mode } = options;
  const data = {
    folder: options.data ?? null,
    data: [train.name, train.length, validation.length],
  };
  const { network, statistics } = options;
  const distance = {
    network,
    samples,
    seed,
    sampling,
    statistics: statistics ?? null,
    autoencoder: decoder && [decoder.digest, decoder.scale],
    realImages: latents?.images,
  };
  const { engine, version, device, gpu } = currentEngine();
  const timed = { batch, repeats, seed, sampling, mode, machine: [engine, version, device, gpu] };
  switch (measure) {
    case 'bits per dimension':
      return { ...data, seed, images: images ?? null };
    case 'FID':
    case 'best σ':
    case 'correlation of loss and FID':
      return { ...data, ...distance };
    case 'share of CRM':
      return data;
    case 'held-out loss':
      // What was kept before it was told is read from the log anew.
      return { ...data, tells: 'convergence' };
    default:
      return { ...data, ...timed };
  }
}

/** Eight characters that tell apart what things depend on, for the names of files. */
function basisDigest(basis: Basis): string {
  return createHash('sha256').update(JSON.stringify(basis)).digest('hex').slice(0, 8);
}

/** A name as that of a folder. */
function fileName(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}
