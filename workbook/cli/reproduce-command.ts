import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Command, Option } from 'commander';
import { count, ledgerOption, seeds, usualLedger, wholeNumber } from '../../src/cli/arguments.js';
import { exitCodes, type SetExitCode } from '../../src/cli/exit-codes.js';
import { chooseTrainingThreads } from '../../src/cli/training-threads.js';
import { startEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { latentScale } from '../../src/data/index.js';
import { readStatistics } from '../../src/evaluation/distances/statistics-file.js';
import { openFeatureNetwork } from '../../src/evaluation/features/named-network.js';
import { productRate } from '../../src/evaluation/machine-rates.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import { ability, disposeModel } from '../../src/flow/flow.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { untilInterrupted } from '../../src/show/interrupt.js';
import { type Progress, type ProgressOptions, startProgress } from '../../src/show/progress.js';
import { tableText } from '../../src/show/table.js';
import type { Experiment } from '../../src/training/experiment.js';
import { titleOfCheckpoint } from '../../src/training/saved-state.js';
import { tableOf } from '../papers/index.js';
import {
  type CostPlan,
  checkRecipe,
  comparesSamples,
  costText,
  experimentOf,
  type Figure,
  imagesOfLatents,
  isTime,
  isTrained,
  type LatentDecoder,
  type LeftOut,
  modelsLatents,
  noiseWidths,
  openDecoder,
  openSplits,
  type PlannedRow,
  pixelNetwork,
  plannedRows,
  type Recipe,
  type ReproducedTable,
  type ReproduceOptions,
  readRows,
  recipesOf,
  reproduceRow,
  rowCost,
  type Scale,
  type Splits,
  scales,
  type ToldCost,
  tableNames,
  threadsOfBegun,
  tinyData,
  tinyDecoder,
  tinyExperiment,
  toldCost,
  writeRow,
} from '../reproduction/index.js';
import { resultsFolder } from '../results-folder.js';

interface ReproduceCommandOptions {
  table?: string;
  scale: Scale;
  row?: string;
  data?: string;
  weights?: string;
  autoencoder?: string;
  network?: string;
  statistics?: string;
  out: string;
  ledger?: string;
  samples?: number;
  images?: number;
  batch?: number;
  repeats: number;
  seed: number;
  seeds?: number[];
  cost: boolean;
  tiny: boolean;
  json: boolean;
}

/** `tarflow reproduce`: a table of a paper, row by row. */
export function addReproduce(program: Command, setExitCode: SetExitCode): void {
  program
    .command('reproduce')
    .description('fill a table of a paper: train or read each model, measure what the row reports')
    .option('--table <name>', 'which table; see below')
    .addOption(
      new Option('--scale <scale>', "the paper's models and data, or their small twins")
        .choices(scales)
        .default('workbook'),
    )
    .option('--row <name>', 'only this row')
    .option('--data <folder>', "the paper's data on your disk, for --scale paper")
    .option('--weights <file>', 'measure this checkpoint, ours or a published .pth, and train none')
    .option(
      '--autoencoder <file>',
      "what decodes a flow's latents: ours, or a published one, e.g. sd-vae-ft-ema.safetensors",
    )
    .option(
      '--network <name>',
      'by whose features samples are compared (default: the Fashion-MNIST classifier or ' +
        'efficientnet-lite0; an FID needs inception-v3:FILE)',
    )
    .option(
      '--statistics <file>',
      'mean and covariance of real images, e.g. imagenet_64_fid_stats.pth (default: those of the ' +
        'training split are computed)',
    )
    .option('--out <folder>', 'where runs, figures and the table go', 'reproduction/tables')
    .addOption(ledgerOption())
    .option('--samples <n>', 'of a distance (default: 10,000; 50,000 at paper scale)', count)
    .option('--images <n>', 'of a likelihood, the first ones (default: all)', count)
    .option('--batch <n>', 'images sampled and timed together (default: 64)', count)
    .option('--repeats <n>', 'how often each strategy is timed', count, 5)
    .option('--seed <n>', 'of samples and of dequantisation noise', wholeNumber, 0)
    .option('--seeds <list>', 'of the trainings, one for each, e.g. 1,2,3 (default: one)', seeds)
    .option('--cost', 'say what each row would take, without its data, and do nothing', false)
    .option('--tiny', 'run the whole path of each row on random images, with tiny models', false)
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
First it says what each row takes; data and weights are checked before anything is trained. Give the
same command again to continue one that was stopped. Before long trainings a few steps of the one that
takes most operations are timed, as tarflow train does it; not where a row's sampling is timed.

--cost needs no data: images are those of the official sets, of which some are held out here; it counts
those of --data where that is given. Where a paper does not say how long it trained, the cost is that of
an epoch.

Exit code 0: every figure that the rows ask for was taken, but for those that never can be, which the table
says: a measure that nothing here computes, a block that a smaller twin lacks. Exit code 1: another figure
is missing, and which one and why is said, also where it was the user's choice: given --weights have no
held-out loss, since they come without the log of their training. Exit code 2: data, weights, an
autoencoder or a network are missing or do not fit. Rows that are not run are listed, and are no failure.

For the paper's flows on latents, --data is a folder with train.safetensors and validation.safetensors, written by
\`tarflow encode\` (the paper draws from the posteriors: --draw). Real images are those of --statistics;
without it training latents are decoded. Rows without a denoising step need an autoencoder whose decoder
takes the noise away. At workbook scale latents are made and decoded by a committed autoencoder, and
kept below --out.

Tables:
${tableNames.map((name) => `  ${name}\n      ${tableOf(name).title}`).join('\n')}

Examples:
  $ tarflow reproduce --table likelihood --cost --scale paper
  $ tarflow reproduce --table likelihood
  $ tarflow reproduce --table gs-jacobi --scale paper --row 'AFHQ 256×256' --data afhq/ \\
      --weights afhq_model_8_768_8_8_0.07.pth --network inception-v3:pt_inception-2015-12-05-6726825d.pth \\
      --statistics afhq_256_fid_stats.pth
  $ tarflow reproduce --table fid-imagenet-256 --scale paper --data latents/ \\
      --row 'STARFlow, denoised by its score, decoder as it was' --autoencoder sd-vae-ft-ema.safetensors \\
      --network inception-v3:pt_inception-2015-12-05-6726825d.pth --statistics imagenet_256_fid_stats.pth`,
    )
    .action(async (options: ReproduceCommandOptions) => {
      const complete = await run(options);
      if (!complete) setExitCode(exitCodes.checkFailed);
    });
}

/** @returns false where a figure is missing that could have been taken */
async function run(options: ReproduceCommandOptions): Promise<boolean> {
  const { table, scale, row } = options;
  if (table === undefined) {
    throw new UserError('No --table came', `Expected one of ${tableNames.join(', ')}`);
  }
  const found = recipesOf(table, { scale, row });
  const recipes = found.filter((each): each is Recipe => each.kind === 'recipe');
  const leftOut = found.filter((each): each is LeftOut => each.kind === 'left out');
  if (recipes.length > 0) checkAutoencoder(recipes, options);
  if (options.cost) {
    await tellCosts(plannedRows(table, { scale, row }), options);
    return true;
  }
  if (recipes.length === 0) {
    const why = leftOut.map((each) => `${each.row}: ${each.reason}`).join('; ');
    throw new UserError(`Nothing of ${table} can be run (${why})`, 'Choose another table or scale');
  }
  if (options.tiny && options.batch !== undefined) {
    throw new UserError('--batch came with --tiny, whose batches have two images', 'Leave it out');
  }
  if (options.weights !== undefined && (options.seeds?.length ?? 0) > 0) {
    throw new UserError(
      '--seeds came with --weights, which nothing is trained for',
      'Leave it out',
    );
  }
  if (options.data !== undefined && !recipes.some(({ needsFolder }) => needsFolder)) {
    const names = [...new Set(recipes.map(({ dataset }) => dataset))].join(', ');
    throw new UserError(`--data came for ${table}, whose data are ${names}`, 'Leave it out');
  }
  const settings = settingsOf(options);
  for (const recipe of recipes) checkRecipe(recipe, settings);
  // Tiny images are drawn by an engine. What others lack, and files, are told before anything is timed.
  if (options.tiny) await startEngine();
  const file = path.join(settings.out, tableFile(options));
  // Latents are made only after all else that may be missing was looked for.
  const opened: OpenedRow[] = [];
  for (const recipe of recipes) {
    opened.push({ recipe, splits: await openSplits(imagesOfLatents(recipe), settings) });
  }
  await readRows(file);
  if (comparesByFilesThatAreThere(recipes, options)) await chooseThreads(opened, settings);
  await startEngine();
  const network = (await checkComparison(recipes, settings)) ?? settings.network;
  const compared = { ...settings, network };
  const complete = await untilInterrupted((signal) =>
    runRows(opened, file, options, { ...compared, signal }),
  );
  const whole = { table, scale, tiny: options.tiny, leftOut, results: await readRows(file) };
  console.log(options.json ? JSON.stringify(whole, null, 2) : textOf(whole));
  if (!options.json) console.log(file);
  return complete;
}

interface OpenedRow {
  recipe: Recipe;
  splits: Splits;
}

/**
 * Whether the files are there by which samples are to be compared. What they lack, and where to get them,
 * those say who read them.
 */
function comparesByFilesThatAreThere(
  recipes: readonly Recipe[],
  options: ReproduceCommandOptions,
): boolean {
  if (!recipes.some(isCompared)) return true;
  const [, network] = /^[^:]+:(.+)$/.exec(networkName(options) ?? '') ?? [];
  return [network, options.statistics].every((file) => file === undefined || fs.existsSync(file));
}

/**
 * Chooses how threads are used: as a training that is begun does, and else by the training of most
 * operations that is left; not where a row's sampling is timed, which the choice would change.
 */
async function chooseThreads(
  opened: readonly OpenedRow[],
  settings: ReproduceOptions,
): Promise<void> {
  const timed = opened.some(({ recipe }) => recipe.asked.some(({ measure }) => isTime(measure)));
  if (settings.weights !== undefined || timed) return;
  const left: { recipe: Recipe; experiment: Experiment }[] = [];
  for (const { recipe, splits } of opened) {
    const experiment = experimentOf(recipe, splits.train.length, settings);
    if (!(await isTrained(recipe, experiment, settings))) left.push({ recipe, experiment });
  }
  const operations = (experiment: Experiment): number =>
    rowCost(experiment, { trainings: 1, samples: 0, guided: false }).trainingOperations;
  const [longest] = left
    .map(({ experiment }) => experiment)
    .sort((one, other) => operations(other) - operations(one));
  if (!longest) return;
  const begun = await Promise.all(
    left.map(({ recipe, experiment }) => threadsOfBegun(recipe, experiment, settings)),
  );
  const recorded = begun.find((use) => use !== undefined);
  await chooseTrainingThreads(longest, undefined, recorded);
}

/** Says what rows take, runs them and puts each into the table's file. */
async function runRows(
  opened: OpenedRow[],
  file: string,
  options: ReproduceCommandOptions,
  settings: ReproduceOptions,
): Promise<boolean> {
  const { table, scale, tiny } = options;
  for (const each of opened.filter(({ recipe }) => recipe.latents)) {
    const shown = progressOf(each.recipe.row);
    const how = { ...settings, ...shown.calls };
    each.splits = await openSplits(each.recipe, how).finally(shown.finish);
  }
  for (const { recipe, splits } of opened) {
    const images = { count: splits.train.length, source: splits.train.name };
    console.error(costOf({ row: recipe.row, recipe }, costPlan(recipe, options, images)));
  }
  for (const { recipe } of opened) {
    if (!isCompared(recipe) || !modelsLatents(recipe)) continue;
    disposeModel((await openDecoder(recipe, settings)).autoencoder);
  }
  let complete = true;
  for (const { recipe, splits } of opened) {
    const shown = progressOf(recipe.row);
    const own = { ...settingsOfRow(settings, recipe, options), ...shown.calls };
    const result = await reproduceRow(recipe, splits, own).finally(shown.finish);
    await writeRow(file, result, { table: table as string, scale, tiny });
    for (const { measure, of, ours, never } of result.figures) {
      if (typeof ours !== 'string' || never) continue;
      const name = of === undefined ? measure : `${measure}, ${of}`;
      console.error(`${recipe.row}: ${name} is missing: ${ours}`);
      complete = false;
    }
  }
  return complete;
}

/** Says what is known of the cost of rows without their data; of a folder that is given it counts images. */
async function tellCosts(
  rows: readonly PlannedRow[],
  options: ReproduceCommandOptions,
): Promise<void> {
  const { table, scale, json, data } = options;
  await startEngine();
  const costs: ToldCost[] = [];
  for (const each of rows) {
    const { recipe, leftOut } = each;
    const isThere = data !== undefined && leftOut === undefined && recipe?.needsFolder;
    const source = isThere && (await openSplits(recipe, settingsOf(options))).train;
    const images = source ? { count: source.length, source: `of ${data}` } : undefined;
    const plan = recipe ? costPlan(recipe, options, images) : { trainings: 0, samples: 0 };
    costs.push(toldCost(each, plan));
    if (!json) console.log(costOf(each, plan));
  }
  if (json) console.log(JSON.stringify({ table, scale, rows: costs }, null, 2));
}

/** What a table's file is called: a network that was asked for makes another table. */
function tableFile({ table, scale, network }: ReproduceCommandOptions): string {
  const [kind = '', weights] = network?.split(':') ?? [];
  const by = kind === 'classifier' && weights !== undefined ? titleOfCheckpoint(weights) : kind;
  return `${[table, scale, ...(network === undefined ? [] : [by])].join('-')}.json`;
}

/** @throws UserError where an autoencoder came for rows that take none */
function checkAutoencoder(
  recipes: readonly Recipe[],
  { autoencoder, table }: ReproduceCommandOptions,
): void {
  const latent = recipes.filter(modelsLatents);
  if (autoencoder === undefined || latent.some(({ latents }) => !latents)) return;
  const [own] = latent;
  const whose = own ? `latents are those of ${own.latents?.autoencoder}` : 'flows make images';
  throw new UserError(`--autoencoder came for ${table}, whose ${whose}`, 'Leave it out');
}

function isCompared({ asked }: Recipe): boolean {
  return asked.some(({ measure }) => comparesSamples(measure));
}

/**
 * Opens once what samples are compared by, before anything is made or trained for it.
 * @returns name and weights of the network, on which kept figures depend; undefined for one without
 */
async function checkComparison(
  recipes: readonly Recipe[],
  settings: ReproduceOptions,
): Promise<string | undefined> {
  if (!recipes.some(isCompared)) return undefined;
  const network = await settings.openNetwork();
  const { name, weights } = network;
  network.dispose();
  const { statistics } = settings;
  if (statistics !== undefined) await readStatistics(statistics);
  return weights && `${name} ${weights.slice(0, 16)}`;
}

/** How a row is reproduced, which may be measured by another number of samples than others. */
function settingsOfRow(
  settings: ReproduceOptions,
  { sampling }: Recipe,
  { samples, tiny }: ReproduceCommandOptions,
): ReproduceOptions {
  const own = samples === undefined && !tiny && sampling.samples;
  return { ...settings, ...(own && { samples: own }) };
}

/** How rows are reproduced, from what the user said. */
function settingsOf(options: ReproduceCommandOptions): ReproduceOptions {
  const { out, batch = 64, repeats, seed, tiny, scale, autoencoder } = options;
  const samples = options.samples ?? (tiny ? 6 : scale === 'paper' ? 50_000 : 10_000);
  const network = options.network ?? (tiny ? 'pixels' : undefined);
  return {
    // Of their own: no tiny run is taken for one that means something.
    out: tiny ? path.join(out, 'tiny') : out,
    checkpoints: path.join(resultsFolder(), 'checkpoints'),
    ledger: options.ledger ?? (tiny ? path.join(out, 'tiny', 'readings.jsonl') : usualLedger()),
    ...{ samples, repeats, seed, network, batch: tiny ? 2 : batch },
    ...{ folder: options.data, weights: options.weights },
    images: options.images,
    statistics: options.statistics,
    ...(autoencoder !== undefined && {
      openDecoder: (recipe: Recipe) => decoderOf(autoencoder, recipe, options.data),
    }),
    shared: new Map(),
    seeds: options.seeds,
    openNetwork: () => networkOf(options),
    ...(tiny && {
      // Graphs take longer to record than two steps.
      mode: 'eager' as const,
      change: tinyExperiment,
      open: (recipe: Recipe, split) => tinyData(recipe, split, path.join(out, 'tiny', 'latents')),
      openDecoder: (recipe: Recipe) => Promise.resolve(tinyDecoder(recipe)),
    }),
  };
}

/** The autoencoder of a file, whose latents were scaled as those of the training images say. */
async function decoderOf(
  file: string,
  { dataset, needsFolder }: Recipe,
  data: string | undefined,
): Promise<LatentDecoder> {
  const autoencoder = await loadCheckpoint(file);
  try {
    const known = ability(autoencoder.family, 'autoencoder').scale(autoencoder.config);
    const folder = (needsFolder ? data : dataset.slice(dataset.indexOf(':') + 1)) ?? '.';
    const scale = await latentScale(path.join(folder, 'train.safetensors')).catch((error) => {
      if (known === undefined) throw error;
      return known;
    });
    return { autoencoder, scale, digest: weightsDigest(autoencoder) };
  } catch (error) {
    disposeModel(autoencoder);
    throw error;
  }
}

/** The feature network that the user names, or the one that fits. */
async function networkOf(options: ReproduceCommandOptions) {
  const name = networkName(options);
  return name === undefined ? pixelNetwork() : openFeatureNetwork(name);
}

/** What samples are compared by, as `openFeatureNetwork` takes it; undefined for pixels. */
function networkName({ network, tiny, scale, table }: ReproduceCommandOptions): string | undefined {
  if (network !== undefined) return network;
  if (tiny) return undefined;
  if (scale === 'paper') {
    throw new UserError(
      `The figures of ${table} are FIDs, which the Inception network makes`,
      'Give its weights by --network inception-v3:FILE',
    );
  }
  const grey = recipesOf(table as string, { scale }).some(
    (each) => each.kind === 'recipe' && each.dataset === 'fashion-mnist',
  );
  const judge = path.join(resultsFolder(), 'checkpoints', 'fashion-mnist-classifier.safetensors');
  return grey ? `classifier:${judge}` : 'efficientnet-lite0';
}

let rate: number | undefined;

/** What a row takes, in words. */
function costOf(planned: PlannedRow, plan: CostPlan): string {
  rate ??= productRate();
  const text = costText(toldCost(planned, plan), rate);
  const decodes = planned.recipe && modelsLatents(planned.recipe);
  return decodes ? `${text}; not counted is what decodes the latents` : text;
}

/**
 * The trainings and samples of a row.
 * @param images where the data were looked at
 */
function costPlan(
  recipe: Recipe,
  options: ReproduceCommandOptions,
  images: CostPlan['images'],
): CostPlan {
  const settings = settingsOfRow(settingsOf(options), recipe, options);
  const { samples, seeds = [0], weights, change } = settings;
  const { settings: training } = experimentOf(recipe, images?.count ?? 1, settings);
  const work = recipe.asked.map(({ measure }) => workOf(measure, training, seeds.length));
  const sum = (of: (each: (typeof work)[number]) => number) =>
    work.reduce((total, each) => total + of(each), 0);
  const own = work.some(({ trains }) => trains === 'row') ? seeds.length : 0;
  return {
    trainings: weights === undefined ? own + sum(({ series }) => series) : 0,
    samples: samples * sum(({ distances }) => distances),
    ...(images && { images }),
    change,
  };
}

/** The trainings and distances that a figure takes; the row's own training serves several figures. */
function workOf(
  measure: Recipe['asked'][number]['measure'],
  settings: ReturnType<Recipe['experiment']>['settings'],
  seeds: number,
): { trains: 'row' | 'series'; series: number; distances: number } {
  if (measure === 'best σ') {
    const trainings = noiseWidths.length * seeds;
    return { trains: 'series', series: trainings, distances: trainings };
  }
  if (measure === 'correlation of loss and FID') {
    const distances = Math.floor(settings.steps / settings.saveEvery);
    return { trains: 'series', series: seeds, distances: seeds * distances };
  }
  return { trains: 'row', series: 0, distances: measure === 'FID' ? seeds : 0 };
}

/** Progress bars of a row's training and measures. */
function progressOf(row: string) {
  let progress: Progress | undefined;
  let now = '';
  const begin = (title: string, work: Omit<ProgressOptions, 'title'>): Progress => {
    progress?.finish();
    now = title;
    progress = startProgress({ title, ...work });
    return progress;
  };
  let steps = 0;
  let from = 0;
  const training = `${row}: training`;
  const calls: Pick<ReproduceOptions, 'onBegin' | 'onStep' | 'onProgress'> = {
    onBegin: ({ settings }, step) => {
      steps = settings.steps;
      from = step;
      begin(training, { total: steps, from });
    },
    // A training that is followed draws samples in between.
    onStep: ({ step, loss }) => {
      const shown =
        progress && now === training ? progress : begin(training, { total: steps, from });
      from = step;
      shown.update(step, { loss });
    },
    onProgress: (share, what) => {
      const [task = what] = what.split(':');
      const title = `${row}: ${task}`;
      const shown = progress && now === title ? progress : begin(title, { total: 100, unit: '%' });
      shown.update(Math.round(100 * share));
    },
  };
  return { calls, finish: () => progress?.finish() };
}

/** The table as text: published figures, and ours with the model that they are of. */
function textOf({ results, leftOut, table, scale, tiny }: ReproducedTable): string {
  const rows = results.flatMap(({ row, model, figures }) =>
    figures.map(({ measure, of, published, ours }) => {
      const figure = typeof ours === 'string' ? undefined : ours;
      const called = figure?.called ?? measure;
      const floor = figure?.floor;
      return {
        row,
        measure: of === undefined ? measure : `${measure}, ${of}`,
        published: published ?? null,
        'our model': model,
        ours: figure?.value ?? null,
        '±': errorText(figure),
        n: figure?.n ?? null,
        'ours is': called === measure ? null : `${called}, ${figure?.network}`,
        floor: floor ? `${floor.value.toPrecision(3)} (n = ${floor.n})` : null,
        note: figure ? (figure.note ?? null) : ours,
      };
    }),
  );
  const caption =
    `${table}, ${scale} scale` +
    (tiny ? ': tiny models on random images, whose figures mean nothing' : '') +
    (scale === 'workbook' ? "; published figures are of the paper's models and data" : '');
  const without = leftOut.map(({ row, reason }) => `not run: ${row} (${reason})`);
  return [tableText(rows, { caption }), ...without].join('\n');
}

/** A standard error, and what it is over. */
function errorText(figure: Figure | undefined): string | null {
  if (figure?.standardError === undefined) return null;
  const error = figure.standardError.toPrecision(2);
  return figure.values ? `${error} (${figure.values.length} trainings)` : `${error} (images)`;
}
