import { z } from 'zod';
import { readBytes } from '../core/files.js';
import { checkedJson, checkedValue } from '../core/schema.js';
import type { Experiment } from '../training/experiment.js';
import { trainingSettings } from '../training/settings.js';
import { familyOf } from './registry.js';

const outline = z.strictObject({
  name: z.string().min(1),
  description: z.string().default(''),
  dataset: z.string().min(1),
  config: z.looseObject({ kind: z.string() }),
  settings: z.unknown(),
});

/**
 * An experiment of one's own from a JSON file: `name`, `description`, `dataset` as `openDataset` takes
 * it, `config` of one of the kinds of models, and `settings` of the training.
 *
 * @throws UserError that names the value that is missing, unknown or does not fit
 */
export async function readExperiment(file: string): Promise<Experiment> {
  const text = Buffer.from(await readBytes(file)).toString('utf8');
  const remedy = 'tarflow train --list --json shows whole experiments';
  const { config, settings, ...about } = checkedJson(outline, text, file, remedy);
  const { schema } = familyOf(config.kind);
  return {
    ...about,
    config: checkedValue(schema, config, `${file}: config`, remedy),
    settings: checkedValue(trainingSettings, settings, `${file}: settings`, remedy),
  };
}
