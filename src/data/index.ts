import { UserError } from '../backend/errors.js';
import type { ImageDataset, Split } from './dataset.js';
import { emojiDatasets } from './emoji.js';
import { loadFashionMnist } from './fashion-mnist.js';
import { loadMnistSubset } from './mnist-subset.js';

export * from './dataset.js';

const loaders: Record<string, (split: Split) => Promise<ImageDataset>> = {
  'fashion-mnist': loadFashionMnist,
  'mnist-10k-subset': loadMnistSubset,
  ...emojiDatasets,
};

/** The names that {@link loadDataset} knows. */
export const datasetNames: readonly string[] = Object.keys(loaders);

/**
 * Loads one split of a data set into memory.
 *
 * @throws UserError for an unknown name, or when the data are not there (with the command that
 *   fetches them)
 */
export async function loadDataset(name: string, split: Split): Promise<ImageDataset> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  if (!load) {
    throw new UserError(`Unknown data set '${name}'`, `Expected one of ${datasetNames.join(', ')}`);
  }
  if (split !== 'train' && split !== 'test') {
    throw new UserError(`Unknown split '${split}' of ${name}`, 'Expected train or test');
  }
  return load(split);
}
