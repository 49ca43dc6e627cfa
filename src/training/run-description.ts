import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import * as path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { nearestPath } from '../core/files.js';
import { checkedJson, checkedValue, isRecord } from '../core/schema.js';
import { splits } from '../data/source.js';
import type { ModelConfig } from '../flow/model.js';
import { descriptionName, latentsSchema, noRun } from './checkpoint.js';
import { trainingSettings } from './settings.js';

/** Settings that a run may change when it goes on: the state does not depend on them. */
const changeableSettings = z.object({
  ...trainingSettings.pick({
    steps: true,
    peakLearningRate: true,
    warmupSteps: true,
    holdSteps: true,
    clipNorm: true,
    precision: true,
    validateEvery: true,
    validationImages: true,
    saveEvery: true,
    keepEvery: true,
  }).shape,
});
type Changeable = z.infer<typeof changeableSettings>;

/** A model's configuration as a file has it; whoever makes a model of it checks it by its family. */
export const writtenConfig: z.ZodType<ModelConfig> = z.looseObject({
  kind: z.string(),
  image: z.object({ channels: z.int(), height: z.int(), width: z.int() }),
  classes: z.number(),
});

const startingPoint = z.object({
  /** The name of the file, or of the run's folder, without its path. */
  checkpoint: z.string(),
  sha256: z.string(),
  /** Training steps behind it. */
  steps: z.int().min(0),
});

/** A file that a run began with, instead of fresh parameters. */
export type StartingPoint = z.infer<typeof startingPoint>;

const namedData = z.object({
  /** As `openDataset` takes it. */
  data: z.string().min(1),
  fastDecode: z.boolean().optional(),
  /** What reads the captions of data that come without their states. */
  textEncoder: z.string().optional(),
});

/** How the command line opens the data of a run again. */
export type NamedData = z.infer<typeof namedData>;

/** What of a run's description has to be the same where it goes on. */
const trainedThing = {
  experiment: z.string().optional(),
  /** Name of the data set. */
  data: z.string().min(1),
  config: writtenConfig,
  settings: trainingSettings,
  /** Of data that are latents, what their file says of the autoencoder. */
  latents: latentsSchema.optional(),
  /** What it began with, where not with fresh parameters. */
  from: startingPoint.optional(),
};

/** What a run trains: two runs that agree in it are the same one. */
export type TrainedThing = z.infer<z.ZodObject<typeof trainedThing>>;

const runDescription = z.object({
  ...trainedThing,
  /** What of the data set is trained on. */
  split: z.enum(splits),
  /** Absent in runs that the library began. */
  named: namedData.optional(),
  /** How its steps run, on which its rounding depends. */
  mode: z.enum(['graph', 'xla', 'eager']),
  /** How they use threads, on which it depends too. */
  threads: z.enum(['divided', 'undivided']),
  /** How many processes share each step, on which it depends too; absent for one. */
  processes: z.int().optional(),
  /** Earlier values of settings that were changed, and the step until which each held. */
  history: z.array(z.object({ until: z.number(), plan: z.custom<Changeable>() })).optional(),
});

/** What `run.json` says. */
export type RunDescription = z.infer<typeof runDescription>;

/**
 * Reads the description of the run in a folder.
 * @throws UserError where there is none, or it is damaged
 */
export async function readRunDescription(folder: string): Promise<RunDescription> {
  const text = await descriptionText(folder);
  if (text !== undefined) return parseDescription(text, path.join(folder, descriptionName));
  throw noRun(folder, existsSync(folder) ? '' : await nearestPath(folder));
}

/**
 * The text of the description in a folder; undefined where there is none.
 * @throws UserError where it cannot be read
 */
export async function descriptionText(folder: string): Promise<string | undefined> {
  const file = path.join(folder, descriptionName);
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    const problem = `${file} cannot be read (${error.message})`;
    throw new UserError(problem, 'Mend that, or choose another folder');
  });
}

/**
 * Reads a `run.json`.
 * @throws UserError that names the value that is missing or does not fit
 */
export function parseDescription(text: string, file: string): RunDescription {
  const remedy = 'Mend it, or begin a new run in another folder';
  const value = checkedJson(z.unknown(), text, file, remedy);
  const description = checkedValue(runDescription, value, file, remedy);
  // In the order in which they were written, which a checkpoint of the run repeats.
  const { config, settings } = Object(value);
  return { ...description, config, settings };
}

/** The values of the settings that may change where a run goes on. */
export function changeable({ settings }: TrainedThing): Changeable {
  return changeableSettings.parse(settings);
}

/** Whether a run may go on though this differs. */
export function isChangeable({ path }: Difference): boolean {
  return Object.keys(changeableSettings.shape).some((key) => path === `settings.${key}`);
}

/** A value that two descriptions have not alike: its path, and as JSON what each has. */
export interface Difference {
  path: string;
  there: string;
  here: string;
}

/** In what two runs, or configurations of models, differ, by their values and not by how these were written. */
export function differences(there: object, here: object): Difference[] {
  return valueDifferences(plain(there), plain(here), []);
}

function valueDifferences(there: unknown, here: unknown, path: readonly string[]): Difference[] {
  if (isDeepStrictEqual(there, here)) return [];
  if (!isRecord(there) || !isRecord(here)) {
    return [{ path: path.join('.'), there: shown(there), here: shown(here) }];
  }
  const keys = [...new Set([...Object.keys(there), ...Object.keys(here)])];
  return keys.flatMap((key) => valueDifferences(there[key], here[key], [...path, key]));
}

/** As JSON gives it back: without what is undefined. */
function plain(value: object): unknown {
  return JSON.parse(JSON.stringify(value));
}

function shown(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}
