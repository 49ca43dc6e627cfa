import { UserError } from '../backend/errors.js';
import { type FolderOptions, openFolder } from './folder/folder.js';
import { emojiDatasets } from './memory/emoji.js';
import { loadFashionMnist } from './memory/fashion-mnist.js';
import type { ImageDataset } from './memory/memory.js';
import { loadMnistSubset } from './memory/mnist-subset.js';
import { type DataSource, type Split, splits } from './source.js';

export { type FolderOptions, openFolder } from './folder/folder.js';
export { type ImageDataset, type ImageParts, imageDataset } from './memory/memory.js';
export * from './reading.js';
export type { DataSource, ImageSize, RawBatch, SourceDescription, Split } from './source.js';

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
 * @param split `train`, `validation`, `test`, or `train+validation` for all that may be trained on
 * @throws UserError for an unknown name, or when the data are not there (with the command that
 *   fetches them)
 */
export async function loadDataset(name: string, split: Split): Promise<ImageDataset> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  if (!load) {
    throw new UserError(`Unknown data set '${name}'`, `Expected one of ${datasetNames.join(', ')}`);
  }
  checkSplit(name, split);
  return load(split);
}

/**
 * Opens one split of a data set, wherever it lies: a name that {@link loadDataset} knows, or
 * `folder:PATH` for a folder of images ({@link openFolder}).
 *
 * @param options of a folder
 */
export async function openDataset(
  name: string,
  split: Split,
  options: FolderOptions = {},
): Promise<DataSource> {
  const [, kind, place] = /^(folder):(.+)$/.exec(name) ?? [];
  if (kind === undefined || place === undefined) return loadDataset(name, split);
  checkSplit(name, split);
  return openFolder(place, split, options);
}

function checkSplit(name: string, split: Split): void {
  if (splits.includes(split)) return;
  throw new UserError(`Unknown split '${split}' of ${name}`, `Expected ${splits.join(', ')}`);
}
