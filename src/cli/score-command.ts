import * as path from 'node:path';
import { UserError } from '../core/errors.js';
import { writeAtomically } from '../core/files.js';
import type { ImageDataset } from '../data/index.js';
import {
  type AnomalyOptions,
  type AnomalyScores,
  anomalyScores,
} from '../evaluation/anomaly-scores.js';
import {
  auroc,
  averagePrecision,
  detectionError,
  falsePositiveRate,
} from '../evaluation/detection.js';
import { mean, meanWithError } from '../evaluation/statistics.js';
import { earlierReadingsText, openTestSplit } from '../evaluation/test-readings.js';
import { ability } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { tableText } from '../show/table.js';
import { titleOfCheckpoint } from '../training/checkpoint.js';
import { checkpointArgument, checkWritable, count, wholeNumber } from './arguments.js';
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
      .option(
        '--count <n>',
        'so many images of each set, evenly from first to last (default: all)',
        count,
      )
      .option('--out <file>', 'the scores of each image: .csv or .json')
      .option('--maps <file>', 'a .png: where some images of each set are strange')
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
  const { out, maps, seed, background: second } = options;
  checkEnding('--out', out, '.csv', '.json');
  checkEnding('--maps', maps, '.png');
  for (const file of [out, maps]) if (file !== undefined) await checkWritable(file);
  return withModel(checkpoint, async ({ model, engine, own }) => {
    ability(model.family, 'flow');
    const { noise = { kind: 'uniform' as const }, place, dataset = place } = model.details;
    const open = (name: string, most = options.count) =>
      openScoredSet(name, model.config.image, most, own);
    const data = options.data ?? `${dataName(checkpoint, model, undefined)}/validation`;
    const names = [data, ...options.against];
    const sets: ImageDataset[] = [];
    for (const name of names) sets.push(await open(name));
    const trained = dataset && `${place ?? dataset}/train`;
    const typical = options.reference ?? trained;
    const ordinary = typical === undefined ? undefined : await open(typical, 1000);
    const background = second === undefined ? undefined : await loadModel(second, own);
    await recordReadings(checkpoint, model, names, sets, options);
    const scoresOf = (set: ImageDataset, more: AnomalyOptions) =>
      withProgress(`Scoring ${set.name}`, set.length, (onProgress) =>
        anomalyScores(model, set, { ...more, noise, seed, onProgress }),
      );
    const reference = ordinary && mean((await scoresOf(ordinary, {})).bitsPerDimension ?? []);
    const scored: AnomalyScores[] = [];
    for (const set of sets) scored.push(await scoresOf(set, { background, reference }));
    const about = { checkpoint, data: names, noise, seed, typical, reference, background: second };
    if (out !== undefined) await writeScores(out, about, sets, scored);
    if (maps !== undefined) await saveScoreMaps(model, noise, seed, sets, maps);
    const table = tableOf(names, scored);
    const format = Object.fromEntries(Object.keys(table.at(-1)!).map((name) => [name, figureText]));
    return { json: { ...about, table, engine }, text: tableText(table, { format }) };
  });
}

function checkEnding(option: string, file: string | undefined, ...endings: string[]): void {
  if (file === undefined || endings.includes(path.extname(file))) return;
  throw new UserError(
    `${option} is ${file}`,
    `Expected a name that ends in ${endings.join(' or ')}`,
  );
}

/** Writes down which test splits are read, but of one's own pictures, and says what was read before. */
async function recordReadings(
  checkpoint: string,
  model: LoadedModel,
  names: readonly string[],
  sets: readonly ImageDataset[],
  { reason, ledger = usualLedger() }: ScoreOptions,
): Promise<void> {
  for (const [i, set] of sets.entries()) {
    if (!/^(?!folder:).*\/test$/.test(names[i]!) || isFolder(names[i]!)) continue;
    if (reason === undefined) {
      throw new UserError(
        'The test split is for final figures, and a reading of it is written down',
        "Say why by --reason 'the table of …', or take the split validation",
      );
    }
    const reading = { model, name: titleOfCheckpoint(checkpoint), ledger, reason };
    const before = await openTestSplit(() => set, { ...reading, measure: 'anomaly scores' });
    const told = earlierReadingsText(before);
    if (told !== undefined) console.error(told);
  }
}

/** A figure with its standard error. */
type Figure = { value: number; standardError?: number };

/** The mean of each score of each set, and how well it tells the set from the first one. */
function tableOf(names: readonly string[], scored: readonly AnomalyScores[]) {
  const measures = { auroc, aupr: averagePrecision, fpr95: falsePositiveRate };
  return scored.flatMap((scores, i) =>
    Object.entries(scores).map(([score, values = []]) => {
      const { mean: value, ...error } = meanWithError(values);
      const inliers = scored[0]?.[score] ?? [];
      const figures = Object.entries(measures).map(([name, measure]): [string, Figure] => [
        name,
        {
          value: measure(inliers, values),
          standardError: detectionError(measure, inliers, values),
        },
      ]);
      const told = i === 0 ? {} : Object.fromEntries(figures);
      return { set: names[i], score, mean: { value, ...error }, ...told };
    }),
  );
}

function figureText(cell: unknown): string {
  if (typeof cell !== 'object' || cell === null) return `${cell ?? '–'}`;
  const { value, standardError }: Partial<Figure> = cell;
  return `${value?.toFixed(3)} ± ${standardError?.toFixed(3) ?? '–'}`;
}

/** Writes a row for each image: of JSON, or of CSV as RFC 4180 has it. */
async function writeScores(
  out: string,
  about: object,
  sets: readonly ImageDataset[],
  scored: readonly AnomalyScores[],
): Promise<void> {
  const images = sets.flatMap((set, i) =>
    Array.from({ length: set.length }, (_, image) => ({
      set: set.name,
      image,
      class: set.classes[set.labels[image]!] ?? '',
      ...Object.fromEntries(Object.entries(scored[i]!).map(([name, of]) => [name, of?.[image]])),
    })),
  );
  const cell = (value: unknown): string =>
    /[",\n\r]/.test(`${value}`) ? `"${`${value}`.replaceAll('"', '""')}"` : `${value}`;
  const lines = [Object.keys(images[0]!), ...images.map(Object.values)];
  const csv = lines.map((values) => `${values.map(cell).join(',')}\n`).join('');
  const json = `${JSON.stringify({ ...about, images }, null, 1)}\n`;
  await writeAtomically(out, path.extname(out) === '.csv' ? csv : json);
}
