import type { Command } from 'commander';
import { UserError } from '../core/errors.js';
import {
  type DataSource,
  datasetForms,
  datasetNames,
  openDataset,
  type Split,
} from '../data/index.js';
import { earlierReadingsText, openTestSplit, testReadings } from '../evaluation/test-readings.js';
import { checkImageSize } from '../flow/flow.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { titleOfCheckpoint } from '../training/saved-state.js';
import { count, ledgerOption, usualLedger } from './arguments.js';

/** What says which images a model is measured on. */
export interface SplitOptions {
  data?: string | undefined;
  split: string;
  reason?: string | undefined;
  ledger?: string | undefined;
}

/** The options that say which images a model is measured on, for {@link measuredSplit}. */
export function addSplitOptions(command: Command): Command {
  return command
    .option(
      '--data <name>',
      `${[...datasetNames, ...datasetForms].join(' or ')} (default: what it was trained on)`,
    )
    .option('--split <name>', 'train, validation, train+validation or test', 'validation')
    .option('--reason <text>', 'why the test split is read, which is for final figures only')
    .addOption(ledgerOption())
    .option('--count <n>', 'only the first images (default: all)', count);
}

/** Images to measure a model on. */
export interface MeasuredSplit {
  data: DataSource;
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
  { data, split, reason, ledger = usualLedger() }: SplitOptions,
  measure: string,
): Promise<MeasuredSplit> {
  const name = dataName(checkpoint, model, data);
  const { image } = model.config;
  if (split === 'test' && reason === undefined) {
    throw new UserError(
      'The test split is for final figures, and a reading of it is written down',
      "Say why by --reason 'the figure of …', or measure on --split validation",
    );
  }
  const opened = await openDataset(name, split as Split, { image });
  checkImageSize(model.config, opened.image, opened.name);
  if (reason === undefined || split !== 'test') return { data: opened, begin: async () => {} };
  await testReadings(ledger);
  const begin = async (): Promise<void> => {
    const before = await openTestSplit(() => opened, {
      ...{ model, name: titleOfCheckpoint(checkpoint), ledger, reason, measure },
    });
    const told = earlierReadingsText(before);
    if (told !== undefined) console.error(told);
  };
  return { data: opened, begin };
}

/**
 * The data set that is named, or else the one that the model was trained on.
 * @throws UserError where there is neither
 */
export function dataName(
  checkpoint: string,
  { details }: LoadedModel,
  data: string | undefined,
): string {
  const name = data ?? details.dataset;
  if (name !== undefined) return name;
  throw new UserError(
    `${checkpoint} does not say what it was trained on`,
    `Give --data ${[...datasetNames, ...datasetForms].join(' or --data ')}`,
  );
}
