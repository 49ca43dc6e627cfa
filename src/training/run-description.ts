import { isDeepStrictEqual } from 'node:util';
import type { Mode, ThreadUse } from '@tarflow/graph';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { checkedValue } from '../core/schema.js';
import type { LatentFacts, Split } from '../data/description.js';
import type { ModelConfig } from '../flow/model.js';
import type { Draws } from './batches/index.js';
import { type TrainingSettings, trainingSettings } from './settings.js';

/** Settings that only plan a run: the state does not depend on them, so a run can be replanned. */
const planKeys = [
  'steps',
  'peakLearningRate',
  'warmupSteps',
  'holdSteps',
  'clipNorm',
  'precision',
  'validateEvery',
  'validationImages',
  'saveEvery',
] as const;
export type Plan = Pick<TrainingSettings, (typeof planKeys)[number]>;

/** What older runs, whose `run.json` lacks these settings, were trained with. */
const defaults = {
  clipNorm: 0,
  averageDecay: 0,
  flip: false,
  precision: 'float32',
} satisfies Partial<TrainingSettings>;

/** The first runs were all of TarFlows, and do not say so. */
const firstConfig = { kind: 'tarflow' };

/** A file that a run began with, instead of fresh parameters. */
export interface StartingPoint {
  /** The name of the file, or of the run's folder, without its path. */
  checkpoint: string;
  sha256: string;
  /** Training steps behind it. */
  steps: number;
}

/** How the command line opens the data of a run again. */
export interface NamedData {
  /** As `openDataset` takes it. */
  data: string;
  fastDecode?: boolean;
  /** What reads the captions of data that come without their states. */
  textEncoder?: string;
}

/** What `run.json` says. */
export interface RunDescription {
  experiment?: string | undefined;
  /** Name of the data set. */
  data: string;
  /** What of the data set is trained on; absent in the first runs. */
  split?: Split;
  /** Absent in runs that the library began, and in the first runs. */
  named?: NamedData | undefined;
  config: ModelConfig;
  settings: TrainingSettings;
  /** Of data that are latents, what their file says of the autoencoder; absent in the first runs. */
  latents?: LatentFacts | undefined;
  /** What it began with, where not with fresh parameters. */
  from?: StartingPoint | undefined;
  /** How its steps run, on which its rounding depends. */
  mode?: Mode;
  /** How they use threads, on which it depends too; absent in the first runs. */
  threads?: ThreadUse;
  /** How its noise, flips and dropped labels are drawn; absent in the first runs. */
  draws?: Draws[];
  /** Earlier plans of a run that was replanned, and the step until which each held. */
  history?: { until: number; plan: Plan }[];
}

/** What a run trains: two runs that agree in it are the same one. */
export type TrainedThing = Omit<
  RunDescription,
  'split' | 'named' | 'mode' | 'threads' | 'draws' | 'history'
>;

/** What of a description is checked before anyone relies on it. */
const outline = z.looseObject({
  data: z.string().min(1),
  config: z.looseObject({
    kind: z.string(),
    image: z.looseObject({ channels: z.int(), height: z.int(), width: z.int() }),
  }),
  settings: trainingSettings,
  named: z
    .looseObject({
      data: z.string().min(1),
      fastDecode: z.boolean().optional(),
      textEncoder: z.string().optional(),
    })
    .optional(),
});

/**
 * Checks what {@link parseDescription} read, to go on by it alone.
 * @throws UserError that names the value that is missing or does not fit
 */
export function checkedDescription(description: RunDescription, file: string): RunDescription {
  checkedValue(outline, description, file, 'Mend it, or begin a new run in another folder');
  return description;
}

/**
 * Reads a `run.json`, with the defaults of what it lacks.
 * @throws UserError where the text is damaged
 */
export function parseDescription(text: string, file: string): RunDescription {
  try {
    const value = JSON.parse(text) as RunDescription;
    if (typeof value.settings === 'object' && typeof value.config === 'object') {
      const config = { ...firstConfig, ...value.config };
      return { ...value, config, settings: { ...defaults, ...value.settings } };
    }
  } catch {
    // Falls through to the error below, which names the file.
  }
  throw new UserError(`${file} is damaged`, 'Begin a new run in another folder');
}

/** The plan of a run. */
export function planOf({ settings }: TrainedThing): Plan {
  return Object.fromEntries(planKeys.map((key) => [key, settings[key]])) as Plan;
}

/**
 * In what two runs differ, by their values and not by how these were written: the path of each
 * value, e.g. `settings.batchSize: 64 there, 32 here`.
 */
export function differences(there: TrainedThing, here: TrainedThing): string[] {
  return valueDifferences(plain(there), plain(here), []);
}

function valueDifferences(there: unknown, here: unknown, path: readonly string[]): string[] {
  if (isDeepStrictEqual(there, here)) return [];
  if (!isRecord(there) || !isRecord(here)) {
    return [`${path.join('.')}: ${shown(there)} there, ${shown(here)} here`];
  }
  const keys = [...new Set([...Object.keys(there), ...Object.keys(here)])];
  return keys.flatMap((key) => valueDifferences(there[key], here[key], [...path, key]));
}

/** As JSON gives it back: without what is undefined. */
function plain(value: TrainedThing): unknown {
  return JSON.parse(JSON.stringify(value));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}
