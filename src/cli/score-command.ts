import * as path from 'node:path';
import { UserError } from '../core/errors.js';
import { nearestPath, writeAtomically } from '../core/files.js';
import { openPictures } from '../data/index.js';
import { textAt } from '../data/shared-memory.js';
import { type DataSource, splits } from '../data/source.js';
import {
  type AnomalyOptions,
  type AnomalyScores,
  anomalyScores,
} from '../evaluation/anomaly-scores.js';
import { detection } from '../evaluation/detection.js';
import { mean, meanWithError } from '../evaluation/statistics.js';
import { ability } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { tableText } from '../show/table.js';
import { checkpointArgument, checkWritable, count } from './arguments.js';
import { defineCommand, loadModel, type Outcome, withModel, withProgress } from './command.js';
import { checkReasonUsed, dataName, ledgerOption, measuredSplit } from './data-options.js';
import { isFolder } from './image-files.js';
import { type ScoredSet, saveScoreMaps } from './score-maps.js';

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
}

const setForms = 'NAME/SPLIT for a data set, or a folder of pictures';

/** `tarflow score`: how strange images are to a model. */
export const score = defineCommand({
  name: 'score',
  description: 'score how strange images are to a model, and tell two sets apart by it',
  options: (command) =>
    command
      .addArgument(checkpointArgument())
      .option('--data <set>', `${setForms} (default: its validation images)`)
      .option('--against <sets...>', 'sets of outliers, named likewise', [])
      .option('--reference <set>', 'images as those of the training, for typicality')
      .option('--background <checkpoint>', 'a model of mutated pixels, for the likelihood ratio')
      .option('--count <n>', 'images of each set, evenly from first to last (default: all)', count)
      .option('--out <file>', 'the scores of each image: .csv or .json')
      .option('--maps <file>', 'a .png: where some images of each set are strange')
      .option('--reason <text>', 'why a test split is read, which is for final figures only')
      .addOption(ledgerOption()),
  help: `\
Scores are higher where an image is stranger. In bits per dimension: bitsPerDimension (-log2 p),
complexityCorrected (less the bits of a lossless file), likelihoodRatio (less the bits of --background),
typicality (how far from the mean of --reference, either way); and scoreNorm, the length of the gradient.
Images get the noise of the training, and conditional models see no label.

With --against a table tells how well each score finds the outliers: AUROC (0.5 is chance), AUPR (mean
precision; outliers are what is to be found) and FPR95 (share of --data taken for outliers where 95 % of
them are found), with standard errors over 100 draws of the images.

Examples:
  $ tarflow score runs/density --against mnist-10k-subset/validation --count 1000
  $ tarflow score runs/density --data folder/ --out scores.csv --maps maps.png
  $ tarflow score runs/density --background runs/mutated --data fashion-mnist/test \\
      --against mnist-10k-subset/test --reason 'the table of anomalies'`,
  run,
});

async function run(checkpoint: string, options: ScoreOptions): Promise<Outcome> {
  const { out, maps, background: second, reference: usual, count } = options;
  for (const [file, endings] of [[out, '.csv or .json'] as const, [maps, '.png'] as const]) {
    if (file === undefined) continue;
    if (endings.split(' or ').includes(path.extname(file))) await checkWritable(file);
    else throw new UserError(`${file} came`, `Expected a name that ends in ${endings}`);
  }
  const sets = [options.data ?? '', ...options.against, usual ?? ''];
  checkReasonUsed(options, ...sets.map((set) => path.basename(set)));
  return withModel(checkpoint, async ({ model, engine, own }) => {
    ability(model.family, 'flow');
    const { noise = { kind: 'uniform' as const } } = model.details;
    const data = options.data ?? `${dataName(checkpoint, model, undefined)}/validation`;
    const names = [data, ...options.against, ...(usual === undefined ? [] : [usual])];
    const opened = [];
    for (const name of names) opened.push(await openSet(name, checkpoint, model, options));
    const background = second === undefined ? undefined : await loadModel(second, own);
    for (const { begin } of opened) await begin();
    const scoresOf = ({ name, data, indices }: ScoredSet, more: AnomalyOptions) =>
      withProgress(`Scoring ${name}`, indices.length, (onProgress) =>
        anomalyScores(model, data, { ...more, indices, noise, onProgress }),
      );
    const typical = usual === undefined ? undefined : opened.pop();
    const bits = typical && (await scoresOf(typical, {})).map((one) => one.bitsPerDimension);
    const reference = bits && mean(bits);
    const scored: AnomalyScores[][] = [];
    for (const set of opened) scored.push(await scoresOf(set, { background, reference }));
    const about = { checkpoint, noise, count, usual, reference, background: second };
    if (out !== undefined) await writeScores(out, about, opened, scored);
    if (maps !== undefined) await saveScoreMaps(model, noise, opened, maps);
    const table = tableOf(opened, scored);
    const format = Object.fromEntries(Object.keys(table.at(-1)!).map((name) => [name, figureText]));
    return { json: { ...about, table, engine }, text: tableText(table, { format }) };
  });
}

/** A set by what a user calls it; `begin` is called before the first image is read. */
async function openSet(
  name: string,
  checkpoint: string,
  model: LoadedModel,
  options: ScoreOptions,
): Promise<ScoredSet & { begin(): Promise<void> }> {
  const { dir, base } = path.parse(name);
  const split = splits.find((one) => one === base);
  const spread = (length: number) => {
    // The first ones of a split may all be of one class.
    const most = Math.min(options.count ?? length, length);
    return Array.from({ length: most }, (_, i) => Math.floor((i * length) / most));
  };
  if (dir !== '' && split) {
    const asked = { ...options, data: dir, split };
    const { data, begin } = await measuredSplit(checkpoint, model, asked, 'anomaly scores');
    return { name, data, indices: spread(data.length), begin };
  }
  if (!isFolder(name)) {
    const meant = await nearestPath(name);
    throw new UserError(`There are no images '${name}'`, `${meant}Expected ${setForms}`);
  }
  const data = await openPictures(name, { image: model.config.image, damaged: 'refused' });
  return { name, data, indices: spread(data.length), begin: async () => {} };
}

/** The mean of each score of each set, and how well it tells the set from the first one. */
function tableOf(sets: readonly ScoredSet[], scored: readonly AnomalyScores[][]) {
  return scored.flatMap((images, i) =>
    Object.keys(images[0]!).map((score, at) => {
      const values = (rows: AnomalyScores[]) => rows.map((row) => Object.values(row)[at]);
      const { mean: value, ...error } = meanWithError(values(images));
      const told = i > 0 && detection(values(scored[0]!), values(images));
      return { set: sets[i]!.name, score, mean: { value, ...error }, ...told };
    }),
  );
}

function figureText(cell: unknown): string {
  if (typeof cell !== 'object' || cell === null) return `${cell ?? '–'}`;
  const { value, standardError }: { value?: number; standardError?: number } = cell;
  return `${value?.toFixed(3)} ± ${standardError?.toFixed(3) ?? '–'}`;
}

/** The file of an image in a folder, within that; '' in other sets. */
function fileOf({ description }: DataSource, index: number): string {
  return description.kind === 'folder' ? textAt(description.paths, index) : '';
}

/** Writes a row for each image: of JSON, or of CSV as RFC 4180 has it. */
async function writeScores(
  out: string,
  about: object,
  sets: readonly ScoredSet[],
  scored: readonly AnomalyScores[][],
): Promise<void> {
  const images = sets.flatMap(({ name: set, data, indices }, s) =>
    indices.map((image, i) => ({
      set,
      image,
      file: fileOf(data, image),
      class: data.classes[data.labels[image]!] ?? '',
      ...scored[s]![i],
    })),
  );
  const cell = (value: unknown): string =>
    /[",\n\r]/.test(`${value}`) ? `"${`${value}`.replaceAll('"', '""')}"` : `${value}`;
  const lines = [Object.keys(images[0]!), ...images.map(Object.values)];
  const csv = lines.map((values) => `${values.map(cell).join(',')}\n`).join('');
  const json = `${JSON.stringify({ ...about, images }, null, 1)}\n`;
  await writeAtomically(out, path.extname(out) === '.csv' ? csv : json);
}
