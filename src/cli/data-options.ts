import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { type Command, Option } from 'commander';
import { UserError } from '../core/errors.js';
import { randomKey } from '../core/random.js';
import type { tf } from '../core/tf.js';
import {
  type DataSource,
  datasetForms,
  datasetNames,
  epochOrder,
  imagesTensor,
  latentScale,
  openDataset,
  type Split,
} from '../data/index.js';
import { checkSameLatents } from '../data/latents/same-latents.js';
import type { LatentFacts } from '../data/source.js';
import { earlierReadingsText, openTestSplit, testReadings } from '../evaluation/test-readings.js';
import { checkImageSize } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { titleOfCheckpoint } from '../training/checkpoint.js';
import { checkUsed, count } from './arguments.js';

/** All that names a data set. */
const datasets = () => [...datasetNames, ...datasetForms];

/** The options `--data` and `--split`. */
export function addDataOptions(command: Command, split: Split): Command {
  return command
    .option('--data <name>', `${datasets().join(' or ')} (default: what it was trained on)`)
    .option('--split <name>', 'train, validation, train+validation or test', split);
}

/**
 * The data set that is named, or else the one that the model was trained on.
 * @throws UserError where there is neither
 */
export function dataName(
  checkpoint: string,
  { details }: Pick<LoadedModel, 'details'>,
  data: string | undefined,
): string {
  const name = data ?? details.place ?? details.dataset;
  if (name !== undefined) return name;
  throw new UserError(
    `${checkpoint} does not say what it was trained on`,
    `Give --data ${datasets().join(' or --data ')}`,
  );
}

/** The option `--ledger`, of commands that read test splits. */
export function ledgerOption(): Option {
  return new Option(
    '--ledger <file>',
    'where readings of test splits are written down (default: results/test-readings.jsonl where ' +
      'there is a folder results, else test-readings.jsonl)',
  );
}

/** The ledger where none is named: the same for all commands. */
export function usualLedger(): string {
  return path.join(existsSync('results') ? 'results' : '', 'test-readings.jsonl');
}

/** What says which images a model is measured on. */
export interface MeasuredOptions {
  data?: string;
  split: Split;
  reason?: string;
  ledger?: string;
  count?: number;
}

/** The options that say which images a model is measured on, for {@link measuredSplit}. */
export function addMeasuredOptions(command: Command): Command {
  return addDataOptions(command, 'validation')
    .option('--reason <text>', 'why the test split is read, which is for final figures only')
    .addOption(ledgerOption())
    .option('--count <n>', 'only the first images (default: all)', count);
}

/**
 * Checks that a reason and a ledger came for a test split alone.
 * @throws UserError where they came, and no split is the test one
 */
export function checkReasonUsed(
  { reason, ledger }: Pick<MeasuredOptions, 'reason' | 'ledger'>,
  ...splits: string[]
): void {
  checkUsed({ reason, ledger }, !splits.includes('test') && 'without a test split');
}

/** Images to measure a model on. */
export interface MeasuredSplit {
  data: DataSource;
  /** How many of them are measured. */
  images: number;
  /**
   * To be called before the first image is read, after all else was checked: writes the reading of a
   * test split down, and says what was read before.
   */
  begin(): Promise<void>;
}

/**
 * Opens the images to measure a model on.
 *
 * @param measure for the ledger
 * @throws UserError where no data set is named, for images that do not fit the model, and for the test
 *   split without a reason, or with a ledger that is damaged
 */
export async function measuredSplit(
  checkpoint: string,
  model: LoadedModel,
  { data: asked, split, reason, ledger = usualLedger(), count }: MeasuredOptions,
  measure: string,
): Promise<MeasuredSplit> {
  const name = dataName(checkpoint, model, asked);
  // Of one's own pictures nobody keeps a ledger, unless it is asked for.
  const isOwn = name.startsWith('folder:');
  if (split === 'test' && reason === undefined && !isOwn) {
    throw new UserError(
      'The test split is for final figures, and a reading of it is written down',
      "Say why by --reason 'the figure of …', or measure on --split validation",
    );
  }
  const data = await openDataset(name, split, { image: model.config.image });
  checkImageSize(model.config, data.image, data.name);
  const images = Math.min(count ?? data.length, data.length);
  if (reason === undefined || split !== 'test') return { data, images, begin: async () => {} };
  await testReadings(ledger);
  const begin = async (): Promise<void> => {
    const before = await openTestSplit(() => data, {
      model,
      name: titleOfCheckpoint(checkpoint),
      ledger,
      reason,
      measure,
    });
    const told = earlierReadingsText(before);
    if (told !== undefined) console.error(told);
  };
  return { data, images, begin };
}

/** For help texts: what `--scale` takes. */
export const scaleForms = 'a number, or a file of `tarflow encode` that has it';

/**
 * The scale that `--scale` says: a number, or that of a file of latents.
 * @throws UserError for a text that is neither
 */
export async function givenScale(text: string | undefined): Promise<number | undefined> {
  if (text === undefined) return undefined;
  if (existsSync(text)) return latentScale(text);
  const scale = Number(text);
  if (text.trim() !== '' && Number.isFinite(scale) && scale > 0) return scale;
  throw new UserError(`--scale is '${text}'`, `Expected ${scaleForms}, above 0`);
}

/**
 * Checks that latents are like those that a model was trained on, as far as both are known.
 *
 * @param which what to call them, in the plural, for example `the latents of FILE`
 * @throws UserError that names both scales, or both autoencoders
 */
export function checkLatentsOf(
  { details }: Pick<LoadedModel, 'details'>,
  checkpoint: string,
  which: string,
  latents: LatentFacts | undefined,
): void {
  checkSameLatents(
    { which: `The latents that ${checkpoint} was trained on`, latents: details.latents },
    { which, latents },
    {
      scale:
        'Take latents of that scale (`tarflow encode --scale NUMBER`, or the file of the first ones)',
      autoencoder: 'Take latents by that autoencoder, or a model that was trained on these',
    },
  );
}

/** Enough for CRM and IGM, which are means. */
const metricImages = 64;

/**
 * The option `--data`, see {@link imagesForMetrics}.
 * @param otherwise what is done where no images are here
 */
export function metricDataOption(otherwise: string): Option {
  return new Option(
    '--data <name>',
    `${datasets().join(' or ')}: images for CRM and IGM (default: what the model was trained ` +
      `on, where that is here, ${otherwise})`,
  );
}

/**
 * A small set of training images for CRM and IGM, which the caller frees: of the data set asked
 * for, or of the one that the model was trained on, where that is here.
 * @throws UserError where the data set asked for is not here or does not fit the model, as latents of
 *   another scale
 */
export async function imagesForMetrics(
  flow: LoadedModel,
  asked: string | undefined,
): Promise<{ data?: string; images?: tf.Tensor4D }> {
  const name = asked ?? flow.details.place ?? flow.details.dataset;
  if (name === undefined) return {};
  const orNone = (error: unknown): undefined => {
    if (asked !== undefined || !(error instanceof UserError)) throw error;
  };
  // All that the first models were trained on: plans keep the images that they were made with.
  const data = await openDataset(name, 'train+validation', { image: flow.config.image }).catch(
    orNone,
  );
  if (!data) return {};
  // What is here has to fit.
  checkLatentsOf(flow, 'this model', `the latents of ${name}`, data.latents);
  try {
    checkImageSize(flow.config, data.image, name);
    const indices = epochOrder(data, randomKey(0), 0).subarray(0, metricImages);
    return { data: name, images: await imagesTensor(data, indices) };
  } catch (error) {
    orNone(error);
    return {};
  }
}
