import * as path from 'node:path';
import type { RandomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { type ImageDataset, loadDataset, pixelBatch } from '../../src/data/index.js';
import { earlierReadingsText, openTestSplit } from '../../src/evaluation/test-readings.js';
import type { Model } from '../../src/flow/model.js';
import { type Noise, noisyImages } from '../../src/training/batches/index.js';
import { inQuickMode, resultFile, resultsFolder } from '../records/results-folder.js';

/** What a notebook measures on the images of a test split. */
export interface TestImagesRequest {
  /** The models that it measures, by name. */
  models: Readonly<Record<string, Model>>;
  /** For example 'bits per dimension'. */
  measure: string;
  /** Why validation images do not do, in a few words. */
  reason: string;
}

/**
 * The test split of a data set, for a notebook: a line for each model goes into the ledger
 * `test-readings.jsonl` of the results, and where a model's figure was read before, that is printed.
 * In quick mode nothing is written.
 *
 * @throws UserError as `openTestSplit` and `loadDataset` do
 */
export async function testImages(
  dataset: string,
  { models, measure, reason }: TestImagesRequest,
): Promise<ImageDataset> {
  const data = await loadDataset(dataset, 'test');
  if (inQuickMode()) return data;
  const name = 'test-readings.jsonl';
  const ledgers = { ledger: resultFile(name), before: path.join(resultsFolder(), name) };
  const told = new Map<string, string[]>();
  for (const [called, model] of Object.entries(models)) {
    const request = { model, name: called, measure, reason, ...ledgers };
    const text = earlierReadingsText(await openTestSplit(() => data, request));
    if (text !== undefined) told.set(text, [...(told.get(text) ?? []), called]);
  }
  for (const [text, names] of told) console.log(`${names.join(', ')}; ${measure}: ${text}`);
  return data;
}

/**
 * Images of a data set with noise, as training sees them: (batch, channels, height, width), which the
 * caller owns. The same key gives the same noise.
 *
 * @throws RangeError for an index outside the data set
 */
export function noisyTensor(
  data: ImageDataset,
  indices: readonly number[],
  noise: Noise,
  key: RandomKey,
): tf.Tensor4D {
  const { channels, height, width } = data.image;
  const values = noisyImages(pixelBatch(data, indices), noise, key);
  return tf.tensor4d(values, [indices.length, channels, height, width]);
}
