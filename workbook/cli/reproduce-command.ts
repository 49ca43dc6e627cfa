import * as fs from 'node:fs';
import * as path from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { count, wholeNumber, wholeNumbers } from '../../src/cli/arguments.js';
import { defineCommand, exitCodes, type Outcome } from '../../src/cli/command.js';
import { ledgerOption } from '../../src/cli/data-options.js';
import { partOption } from '../../src/cli/sample-parts.js';
import { chooseTrainingThreads } from '../../src/cli/training-threads.js';
import { startEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { readStatistics } from '../../src/evaluation/statistics-file.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { untilInterrupted } from '../../src/show/interrupt.js';
import { type Progress, startProgress } from '../../src/show/progress.js';
import { tableText } from '../../src/show/table.js';
import { productRate } from '../measures/machine-rates.js';
import { tableOf } from '../papers/index.js';
import type { Figure } from '../records/record.js';
import type { ReproducedTable } from '../records/table.js';
import { type CostPlan, costText, rowCost, trainingOperations } from '../reproduction/cost.js';
import { imagesOfLatents, openDecoder, openSplits, type Splits } from '../reproduction/data.js';
import { comparesSamples, isTime } from '../reproduction/measurable.js';
import type { ReproduceOptions } from '../reproduction/options.js';
import {
  modelsLatents,
  type PlannedRow,
  plannedRows,
  type Recipe,
  recipesOf,
  scales,
  tableNames,
} from '../reproduction/recipe.js';
import { readRows, reproduceRow, writeRow } from '../reproduction/row.js';
import {
  checkRecipe,
  experimentOf,
  isTrained,
  noiseWidths,
  threadsOfBegun,
} from '../reproduction/trainings.js';
import {
  networkName,
  settingsOf,
  settingsOfRow,
  type TableRequest,
  tableFile,
} from './reproduce-settings.js';

interface ReproduceCommandOptions extends Omit<TableRequest, 'table'> {
  table?: string;
  cost: boolean;
  json: boolean;
}

/** For commander: reads seeds with commas between them, each of which is to come once. */
function seeds(text: string): number[] {
  const all = wholeNumbers(text);
  const twice = all.find((seed, i) => all.indexOf(seed) < i);
  if (twice === undefined) return all;
  throw new InvalidArgumentError(`Expected each seed once, and ${twice} came again.`);
}

/** `tarflow reproduce`: a table of a paper, row by row. */
export const reproduce = defineCommand({
  name: 'reproduce',
  description: 'fill a table of a paper: train or read each model, measure what the row reports',
  options: (command) =>
    command
      .option('--table <name>', 'which table; see below')
      .addOption(
        new Option('--scale <scale>', "the paper's models and data, or their small twins")
          .choices(scales)
          .default('workbook'),
      )
      .option('--row <name>', 'only this row')
      .option('--data <folder>', "the paper's data on your disk, for --scale paper")
      .option(
        '--weights <file>',
        'measure this checkpoint, ours or a published .pth, and train none',
      )
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
      .addOption(
        partOption(
          "draw only this part of the samples of a row's distance, for example 3/8; the same command without it " +
            'puts the parts together, draws those that are missing, and measures',
        ),
      )
      .option('--cost', 'say what each row would take, without its data, and do nothing', false),
  help: () => `\
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
  run,
});

/** A row, and its data. */
interface OpenedRow {
  recipe: Recipe;
  splits: Splits;
}

async function run(options: ReproduceCommandOptions): Promise<Outcome> {
  const { table, scale, row } = options;
  if (table === undefined) {
    throw new UserError('No --table came', `Expected one of ${tableNames.join(', ')}`);
  }
  const request: TableRequest = { ...options, table };
  const found = recipesOf(table, { scale, row });
  const recipes = found.filter((each) => each.kind === 'recipe');
  const leftOut = found.filter((each) => each.kind === 'left out');
  if (recipes.length > 0) checkAutoencoder(recipes, request);
  if (options.cost) return tellCosts(request, options.json);
  if (recipes.length === 0) {
    const why = leftOut.map((each) => `${each.row}: ${each.reason}`).join('; ');
    throw new UserError(`Nothing of ${table} can be run (${why})`, 'Choose another table or scale');
  }
  checkOptions(recipes, request);
  const settings = settingsOf(request);
  for (const recipe of recipes) checkRecipe(recipe, settings);
  const file = path.join(settings.out, tableFile(request));
  // Latents are made only after all else that may be missing was looked for.
  const opened: OpenedRow[] = [];
  for (const recipe of recipes) {
    opened.push({ recipe, splits: await openSplits(imagesOfLatents(recipe), settings) });
  }
  await readRows(file);
  if (comparesByFilesThatAreThere(recipes, request)) await chooseThreads(opened, settings);
  await startEngine();
  const network = (await checkComparison(recipes, settings)) ?? settings.network;
  const complete = await untilInterrupted((signal) =>
    runRows(opened, file, request, { ...settings, network, signal }),
  );
  const whole = { table, scale, leftOut, results: await readRows(file) };
  return {
    json: whole,
    text: `${textOf(whole)}\n${file}`,
    exitCode: complete ? exitCodes.done : exitCodes.checkFailed,
  };
}

/** @throws UserError where an autoencoder came for rows that take none */
function checkAutoencoder(recipes: readonly Recipe[], { autoencoder, table }: TableRequest): void {
  const latent = recipes.filter(modelsLatents);
  if (autoencoder === undefined || latent.some(({ latents }) => !latents)) return;
  const [own] = latent;
  const whose = own ? `latents are those of ${own.latents?.autoencoder}` : 'flows make images';
  throw new UserError(`--autoencoder came for ${table}, whose ${whose}`, 'Leave it out');
}

/** @throws UserError for options that do not go together */
function checkOptions(recipes: readonly Recipe[], request: TableRequest): void {
  const { table, weights, seeds = [], data } = request;
  if (weights !== undefined && seeds.length > 0) {
    throw new UserError(
      '--seeds came with --weights, which nothing is trained for',
      'Leave it out',
    );
  }
  if (data !== undefined && !recipes.some(({ needsFolder }) => needsFolder)) {
    const names = [...new Set(recipes.map(({ dataset }) => dataset))].join(', ');
    throw new UserError(`--data came for ${table}, whose data are ${names}`, 'Leave it out');
  }
}

function isCompared({ asked }: Recipe): boolean {
  return asked.some(({ measure }) => comparesSamples(measure));
}

/**
 * Whether the files are there by which samples are to be compared. What they lack, and where to get them,
 * those say who read them.
 */
function comparesByFilesThatAreThere(recipes: readonly Recipe[], request: TableRequest): boolean {
  if (!recipes.some(isCompared)) return true;
  const [, network] = /^[^:]+:(.+)$/.exec(networkName(request) ?? '') ?? [];
  return [network, request.statistics].every((file) => file === undefined || fs.existsSync(file));
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
  let longest: { experiment: ReturnType<typeof experimentOf>; operations: number } | undefined;
  let recorded: Awaited<ReturnType<typeof threadsOfBegun>>;
  for (const { recipe, splits } of opened) {
    const experiment = experimentOf(recipe, splits.train.length, settings);
    if (await isTrained(recipe, experiment, settings)) continue;
    recorded ??= await threadsOfBegun(recipe, experiment, settings);
    const operations = trainingOperations(experiment);
    if (operations > (longest?.operations ?? -1)) longest = { experiment, operations };
  }
  if (longest) await chooseTrainingThreads(longest.experiment, undefined, recorded);
}

/**
 * Says what rows take, runs them and puts each into the table's file.
 * @returns false where a figure is missing that could have been taken
 */
async function runRows(
  opened: OpenedRow[],
  file: string,
  request: TableRequest,
  settings: ReproduceOptions,
): Promise<boolean> {
  const { table, scale } = request;
  for (const each of opened.filter(({ recipe }) => recipe.latents)) {
    each.splits = await withRowProgress(each.recipe.row, (calls) =>
      openSplits(each.recipe, { ...settings, ...calls }),
    );
  }
  for (const { recipe, splits } of opened) {
    const images = { count: splits.train.length, source: splits.train.name };
    console.error(costOf({ row: recipe.row, recipe }, costPlan(recipe, request, images)));
  }
  for (const { recipe } of opened) {
    if (!isCompared(recipe) || !modelsLatents(recipe)) continue;
    disposeModel((await openDecoder(recipe, settings)).autoencoder);
  }
  let complete = true;
  for (const { recipe, splits } of opened) {
    const own = settingsOfRow(settings, recipe, request);
    if (settings.part) await checkPart(recipe, splits, own);
    const result = await withRowProgress(recipe.row, (calls) =>
      reproduceRow(recipe, splits, { ...own, ...calls }),
    );
    if (settings.part) continue;
    await writeRow(file, result, { table, scale });
    for (const { measure, of, ours, never } of result.figures) {
      if (typeof ours !== 'string' || never) continue;
      const name = of === undefined ? measure : `${measure}, ${of}`;
      console.error(`${recipe.row}: ${name} is missing: ${ours}`);
      complete = false;
    }
  }
  return complete;
}

/** @throws UserError where a part of the samples is asked for, and there is nothing that draws them */
async function checkPart(recipe: Recipe, splits: Splits, options: ReproduceOptions): Promise<void> {
  const { row, asked } = recipe;
  if (!asked.some(({ measure }) => measure === 'FID')) {
    throw new UserError(
      `--part came for '${row}', which has no FID`,
      'Leave it out, or choose by --row',
    );
  }
  const experiment = experimentOf(recipe, splits.train.length, options);
  if (options.weights !== undefined || (await isTrained(recipe, experiment, options))) return;
  throw new UserError(
    `--part came for '${row}', whose model is not trained yet`,
    'Give the command without --part first, stopped after the training if you like, or --weights',
  );
}

type RowCalls = Pick<ReproduceOptions, 'onBegin' | 'onStep' | 'onProgress'>;

/** Runs a part of a row's work, with progress bars of its trainings and measures, one after the other. */
async function withRowProgress<R>(row: string, work: (calls: RowCalls) => Promise<R>): Promise<R> {
  let progress: Progress | undefined;
  let shown = '';
  const show = (task: string, total: number, from = 0, unit = 'steps'): Progress => {
    const title = `${row}: ${task}`;
    if (progress && title === shown) return progress;
    progress?.finish();
    shown = title;
    progress = startProgress({ title, total, from, unit });
    return progress;
  };
  let done = 0;
  try {
    return await work({
      onBegin({ settings }, step) {
        // Another training than the one that was shown.
        shown = '';
        done = step;
        show('training', settings.steps, step);
      },
      // A training that is followed draws samples in between.
      onStep({ step, loss }, { steps }) {
        show('training', steps, done).update(step, { loss });
        done = step;
      },
      onProgress(share, what) {
        const [task = what] = what.split(':');
        show(task, 100, 0, '%').update(Math.round(100 * share));
      },
    });
  } finally {
    progress?.finish();
  }
}

/** Says what is known of the cost of rows without their data; of a folder that is given it counts images. */
async function tellCosts(request: TableRequest, json: boolean): Promise<Outcome> {
  const { table, scale, data } = request;
  await startEngine();
  const costs = [];
  const texts: string[] = [];
  for (const each of plannedRows(table, request)) {
    const { recipe, leftOut } = each;
    const isThere = data !== undefined && leftOut === undefined && recipe?.needsFolder;
    const source = isThere && (await openSplits(recipe, settingsOf(request))).train;
    const images = source ? { count: source.length, source: `of ${data}` } : undefined;
    const plan = recipe ? costPlan(recipe, request, images) : { trainings: 0, samples: 0 };
    costs.push(rowCost(each, plan));
    // The machine is measured for it.
    if (!json) texts.push(costOf(each, plan));
  }
  return { json: { table, scale, rows: costs }, text: texts.join('\n') };
}

let rate: number | undefined;

/** What a row takes, in words. */
function costOf(planned: PlannedRow, plan: CostPlan): string {
  rate ??= productRate();
  const text = costText(rowCost(planned, plan), rate);
  const decodes = planned.recipe && modelsLatents(planned.recipe);
  return decodes ? `${text}; not counted is what decodes the latents` : text;
}

/**
 * The trainings and samples of a row.
 * @param images where the data were looked at
 */
function costPlan(recipe: Recipe, request: TableRequest, images: CostPlan['images']): CostPlan {
  const settings = settingsOfRow(settingsOf(request), recipe, request);
  const { samples, seeds = [0], weights } = settings;
  const { settings: training } = experimentOf(recipe, images?.count ?? 1, settings);
  // The row's own training serves several figures.
  let own = 0;
  let series = 0;
  let distances = 0;
  for (const { measure } of recipe.asked) {
    if (measure === 'best σ') {
      series += noiseWidths.length * seeds.length;
      distances += noiseWidths.length * seeds.length;
    } else if (measure === 'correlation of loss and FID') {
      series += seeds.length;
      distances += seeds.length * Math.floor(training.steps / training.saveEvery);
    } else {
      own = seeds.length;
      if (measure === 'FID') distances += seeds.length;
    }
  }
  return {
    trainings: weights === undefined ? own + series : 0,
    samples: samples * distances,
    images,
  };
}

/** The table as text: published figures, and ours with the model that they are of. */
function textOf({ results, leftOut, table, scale }: ReproducedTable): string {
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
