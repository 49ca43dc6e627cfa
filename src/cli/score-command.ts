import * as path from 'node:path';
import { UserError } from '../core/errors.js';
import { writeAtomically } from '../core/files.js';
import type { ImageDataset } from '../data/index.js';
import { type AnomalyScores, anomalyScores } from '../evaluation/anomaly-scores.js';
import { detection } from '../evaluation/detection.js';
import { mean, meanWithError } from '../evaluation/statistics.js';
import { earlierReadingsText, openTestSplit } from '../evaluation/test-readings.js';
import { ability, type Model } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { tableText } from '../show/table.js';
import { titleOfCheckpoint } from '../training/checkpoint.js';
import { checkpointArgument, checkWritable, count, counted, wholeNumber } from './arguments.js';
import { defineCommand, loadModel, type Outcome, withModel, withProgress } from './command.js';
import { dataName, ledgerOption, usualLedger } from './data-options.js';
import { isFolder } from './image-files.js';
import { saveScoreMaps } from './score-maps.js';
import { openScoredSet, scoredSetForms } from './scored-sets.js';

interface ScoreOptions {
  data?: string;
  against: string[];
  reference?: string;
  background?: string;
  count?: number;
  out?: string;
  maps?: string;
  reason?: string;
  ledger?: string;
  seed: number;
}

/** A set of images and their scores. */
interface Scored {
  set: ImageDataset;
  scores: AnomalyScores;
}

/** `tarflow score`: how strange images are to a model. */
export const score = defineCommand({
  name: 'score',
  description: 'score how strange images are to a model, and tell two sets apart by it',
  options: (command) =>
    command
      .addArgument(checkpointArgument())
      .option('--data <set>', `${scoredSetForms} (default: its validation images)`)
      .option('--against <sets...>', 'sets of outliers, named likewise', [])
      .option('--reference <set>', 'images for typicality (default: 1,000 that it was trained on)')
      .option('--background <checkpoint>', 'a model trained with --set mutate=0.1, for the ratio')
      .option('--count <n>', 'only the first images of each set (default: all)', count)
      .option('--out <file>', 'the scores of each image: .csv or .json')
      .option('--maps <file>', 'a .png: where the first images of each set are strange')
      .option('--reason <text>', 'why a test split is read, which is for final figures only')
      .addOption(ledgerOption())
      .option('--seed <n>', 'of the noise that images get as in training', wholeNumber, 0),
  help: `\
Scores are higher where an image is stranger. In bits per dimension: bitsPerDimension (-log2 p),
complexityCorrected (less the bits of a lossless file), likelihoodRatio (less the bits of --background),
typicality (how far from the mean of --reference, either way); and scoreNorm, the length of the gradient.
Conditional models see no label. Images of another size or in colour are brought to that of the model.

With --against a table tells how well each score finds the outliers: AUROC (0.5 is chance), AUPR (mean
precision; outliers are what is to be found) and FPR95 (share of --data taken for outliers where 95 % of
them are found), with standard errors over 100 draws of the images.

Examples:
  $ tarflow score runs/density --against mnist-10k-subset/validation noise constants --count 1000
  $ tarflow score runs/density --data folder/ --out scores.csv --maps maps.png
  $ tarflow train --experiment fashion-mnist-density --set mutate=0.1 --out runs/background
  $ tarflow score runs/density --background runs/background --data fashion-mnist/test \\
      --against mnist-10k-subset/test --reason 'the table of anomalies'`,
  run,
});

async function run(checkpoint: string, options: ScoreOptions): Promise<Outcome> {
  const { out, maps, seed } = options;
  if (out !== undefined && !['.csv', '.json'].includes(path.extname(out))) {
    throw new UserError(`--out is ${out}`, 'Expected a name that ends in .csv or .json');
  }
  if (maps !== undefined && path.extname(maps) !== '.png') {
    throw new UserError(`--maps is ${maps}`, 'Expected a name that ends in .png');
  }
  for (const file of [out, maps]) if (file !== undefined) await checkWritable(file);
  return withModel(checkpoint, async ({ model, engine, own }) => {
    ability(model.family, 'flow');
    const open = (name: string, most?: number) =>
      openScoredSet(name, model.config.image, most, own);
    const trained = dataName(checkpoint, model, options.data ?? undefined);
    const names = [options.data ?? `${trained}/validation`, ...options.against];
    const sets: ImageDataset[] = [];
    for (const name of names) sets.push(await open(name, options.count));
    const background = options.background && (await loadModel(options.background, own));
    await recordReadings(checkpoint, model, names, sets, options);
    const { noise = { kind: 'uniform' } } = model.details;
    const scoresOf = (set: ImageDataset, more: { background?: Model; reference?: number }) =>
      withProgress(`Scoring ${set.name}`, set.length, (onProgress) =>
        anomalyScores(model, set, { ...more, noise, seed, onProgress }),
      );
    const known = options.reference ?? model.details.dataset;
    const usual = options.reference ?? `${model.details.place ?? known}/train`;
    const typical = known === undefined ? undefined : await open(usual, 1000);
    const reference = typical && mean((await scoresOf(typical, {})).bitsPerDimension);
    const scored: Scored[] = [];
    for (const set of sets) {
      const scores = await scoresOf(set, { ...(background && { background }), reference });
      scored.push({ set, scores });
    }
    const about = {
      checkpoint,
      noise,
      seed,
      reference: typical && { name: usual, bits: reference },
    };
    if (out !== undefined) await writeScores(out, about, scored);
    if (maps !== undefined) await saveScoreMaps(model, noise, seed, sets, maps);
    const table = scored.length > 1 ? detectionTable(scored) : meansTable(scored);
    const images = counted(
      scored.reduce((sum, { set }) => sum + set.length, 0),
      'image',
    );
    return {
      json: {
        ...about,
        sets: scored.map(({ set }) => ({ name: set.name, images: set.length })),
        table,
        engine,
      },
      text: [
        tableText(table.map(written)),
        `${images}; ${[out, maps].filter(Boolean).join(', ')}`,
      ].join('\n'),
    };
  });
}

/** Writes down which test splits are read, but of one's own pictures, and says what was read before. */
async function recordReadings(
  checkpoint: string,
  model: LoadedModel,
  names: readonly string[],
  sets: readonly ImageDataset[],
  { reason, ledger = usualLedger() }: ScoreOptions,
): Promise<void> {
  const tests = sets.filter(
    (_, i) => /^(?!folder:).*\/test$/.test(names[i]!) && !isFolder(names[i]!),
  );
  if (tests.length > 0 && reason === undefined) {
    throw new UserError(
      'The test split is for final figures, and a reading of it is written down',
      "Say why by --reason 'the table of …', or take the split validation",
    );
  }
  for (const set of tests) {
    const name = titleOfCheckpoint(checkpoint);
    const how = { model, name, ledger, reason: reason ?? '', measure: 'anomaly scores' };
    const told = earlierReadingsText(await openTestSplit(() => set, how));
    if (told !== undefined) console.error(told);
  }
}

/** The names of the scores, in their order, with the numbers. */
function columnsOf(scores: AnomalyScores): [name: string, values: Float64Array][] {
  return Object.entries(scores).filter(([, values]) => values !== undefined);
}

/** How well each score tells each set from the first. */
function detectionTable([inner, ...others]: readonly Scored[]) {
  const inliers = new Map(columnsOf(inner!.scores));
  return others.flatMap(({ set, scores }) =>
    columnsOf(scores).map(([score, outliers]) => {
      const { values, standardErrors } = detection(inliers.get(score)!, outliers);
      const figure = (name: keyof typeof values) => ({
        value: values[name],
        standardError: standardErrors[name],
      });
      return {
        against: set.name,
        score,
        auroc: figure('auroc'),
        aupr: figure('averagePrecision'),
        fpr95: figure('falsePositiveRate'),
      };
    }),
  );
}

function meansTable(scored: readonly Scored[]) {
  return scored.flatMap(({ set, scores }) =>
    columnsOf(scores).map(([score, values]) => {
      const { mean: value, standardError } = meanWithError(values);
      return { set: set.name, score, mean: { value, standardError } };
    }),
  );
}

/** A row of a table with its figures in words. */
function written(row: object): Record<string, string> {
  const entries = Object.entries(row).map(([name, cell]) => {
    if (typeof cell === 'string') return [name, cell];
    const { value, standardError } = cell;
    return [name, `${value.toFixed(3)} ± ${standardError?.toFixed(3) ?? '–'}`];
  });
  return Object.fromEntries(entries);
}

/** Writes a row for each image: of JSON, or of CSV as RFC 4180 has it. */
async function writeScores(out: string, about: object, scored: readonly Scored[]): Promise<void> {
  const rows = scored.flatMap(({ set, scores }) =>
    Array.from({ length: set.length }, (_, image) => ({
      set: set.name,
      image,
      class: set.classes[set.labels[image]!] ?? '',
      ...Object.fromEntries(columnsOf(scores).map(([name, values]) => [name, values[image]])),
    })),
  );
  const cell = (value: unknown): string =>
    /[",\n\r]/.test(`${value}`) ? `"${`${value}`.replaceAll('"', '""')}"` : `${value}`;
  const lines = [Object.keys(rows[0]!), ...rows.map(Object.values)];
  const csv = lines.map((values) => `${values.map(cell).join(',')}\n`).join('');
  await writeAtomically(
    out,
    path.extname(out) === '.csv' ? csv : `${JSON.stringify({ ...about, images: rows }, null, 1)}\n`,
  );
}
