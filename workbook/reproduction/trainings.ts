import * as fs from 'node:fs';
import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import type { ThreadUse } from '@tarflow/graph';
import { UserError } from '../../src/core/errors.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { type LoadedModel, loadCheckpoint } from '../../src/models/load-checkpoint.js';
import type { Experiment } from '../../src/training/experiment.js';
import { RunFolder } from '../../src/training/run-folder.js';
import type { ReproduceOptions } from './options.js';
import { modelsLatents, type Recipe } from './recipe.js';

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
export function runFolder(out: string, run: string): string {
  return path.join(out, 'runs', run);
}

/** Deviations of the training noise that are tried for the best one. */
export const noiseWidths: readonly number[] = [0.02, 0.05, 0.1, 0.15, 0.2];

export function withSettings(
  experiment: Experiment,
  changed: Partial<Experiment['settings']>,
): Experiment {
  return { ...experiment, settings: { ...experiment.settings, ...changed } };
}

/** The steps behind a checkpoint; undefined where there is none. */
export async function savedSteps(checkpoint: string): Promise<number | undefined> {
  if (!fs.existsSync(checkpoint)) return undefined;
  const model = await loadCheckpoint(checkpoint);
  disposeModel(model);
  return model.details.steps;
}

/** Weights from a file, which have to be of the row's model and noise. */
export async function givenModel(
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
