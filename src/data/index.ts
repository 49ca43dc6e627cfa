import * as path from 'node:path';
import { UserError } from '../backend/errors.js';
import { type FolderOptions, openFolder } from './folder/folder.js';
import { openLatents } from './latents/latent-file.js';
import { emojiDatasets } from './memory/emoji.js';
import { loadFashionMnist } from './memory/fashion-mnist.js';
import type { ImageDataset } from './memory/memory.js';
import { loadMnistSubset } from './memory/mnist-subset.js';
import { type DataSource, type Split, splits } from './source.js';

export { type FolderOptions, openFolder, openPictures } from './folder/folder.js';
export { openLatents } from './latents/latent-file.js';
export { firstOfEachClass } from './memory/by-class.js';
export { heldOutNames } from './memory/composed-names.js';
export { type ImageDataset, type ImageParts, imageDataset } from './memory/memory.js';
export * from './reading.js';
export type {
  CaptionFacts,
  DataSource,
  ImageSize,
  RawBatch,
  SourceDescription,
  Split,
} from './source.js';

const loaders: Record<string, (split: Split) => Promise<ImageDataset>> = {
  'fashion-mnist': loadFashionMnist,
  'mnist-10k-subset': loadMnistSubset,
  ...emojiDatasets,
};

/**
 * The names that {@link loadDataset} knows.
 *
 * @example
 * ```ts
 * import { datasetNames } from 'tarflow';
 *
 * console.log(datasetNames.join(', ')); // fashion-mnist, mnist-10k-subset, …
 * ```
 */
export const datasetNames: readonly string[] = Object.keys(loaders);

/**
 * Loads one split of a data set into memory.
 *
 * @param split `train`, `validation`, `test`, or `train+validation` for all that may be trained on
 * @throws UserError for an unknown name, or when the data are not there (with the command that
 *   fetches them)
 *
 * @example
 * ```ts
 * import { loadDataset } from 'tarflow';
 *
 * const data = await loadDataset('fashion-mnist', 'test');
 * console.log(data.length, data.image, data.classes[data.labels[0] ?? 0]);
 * ```
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
 * Opens one split of a data set, wherever it lies: a name that {@link loadDataset} knows,
 * `folder:PATH` for a folder of images ({@link openFolder}), or `latents:PATH` for a folder with a
 * file SPLIT.safetensors for each split ({@link openLatents}).
 *
 * @param options of a folder of images
 * @throws UserError for an unknown name, or where the data are not there or damaged
 *
 * @example
 * ```ts
 * import { openDataset } from 'tarflow';
 *
 * const data = await openDataset('fashion-mnist', 'validation');
 * const { count, values, labels } = await data.read([0, 1, 2]);
 * console.log(count, values.length, labels); // 3 samples, 3 · 28 · 28 grey levels, 3 classes
 * ```
 */
export async function openDataset(
  name: string,
  split: Split,
  options: FolderOptions = {},
): Promise<DataSource> {
  const [, kind, place] = /^(folder|latents):(.+)$/.exec(name) ?? [];
  if (kind === undefined || place === undefined) return loadDataset(name, split);
  checkSplit(name, split);
  if (kind === 'folder') return openFolder(place, split, options);
  return openLatents(path.join(place, `${split}.safetensors`), split);
}

function checkSplit(name: string, split: Split): void {
  if (splits.includes(split)) return;
  throw new UserError(`Unknown split '${split}' of ${name}`, `Expected ${splits.join(', ')}`);
}
