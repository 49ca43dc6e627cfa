import * as path from 'node:path';
import { UserError } from '../core/errors.js';
import { openFolder } from './folder/folder.js';
import { openLatents } from './latents/latent-file.js';
import { emojiDatasets } from './memory/emoji.js';
import { loadFashionMnist } from './memory/fashion-mnist.js';
import type { ImageDataset } from './memory/memory.js';
import { loadMnistSubset } from './memory/mnist-subset.js';
import { loadCifar10 } from './official/cifar10.js';
import { openOfficial } from './official/open-official.js';
import {
  type OfficialName,
  type OfficialOptions,
  officialError,
  officialNames,
} from './official/sets.js';
import { type DataSource, type Split, splits } from './source.js';

export { type CaptionStates, withCaptionStates } from './captioned/captioned-source.js';
export { type FolderOptions, openFolder, openPictures } from './folder/folder.js';
export {
  type LatentSet,
  latentScale,
  openLatents,
  type WritableLatents,
  writeLatents,
} from './latents/latent-file.js';
export { firstOfEachClass } from './memory/by-class.js';
export { heldOutNames } from './memory/composed-names.js';
export { type ImageDataset, type ImageParts, imageDataset } from './memory/memory.js';
export type { OfficialOptions } from './official/sets.js';
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
  cifar10: loadCifar10,
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
 * const data = await loadDataset('fashion-mnist', 'validation');
 * console.log(data.length, data.image, data.classes[data.labels[0] ?? 0]);
 * ```
 */
export async function loadDataset(name: string, split: Split): Promise<ImageDataset> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  if (!load) {
    const known = [...datasetNames, ...datasetForms].join(', ');
    throw new UserError(`Unknown data set '${name}'`, `Expected one of ${known}`);
  }
  checkSplit(name, split);
  return load(split);
}

/** What {@link openDataset} takes beside {@link datasetNames}, for help texts. */
export const datasetForms: readonly string[] = [
  ...officialNames.map((name) => `${name}:PATH`),
  'folder:PATH',
  'latents:PATH',
];

/**
 * Opens one split of a data set, wherever it lies: a name that {@link loadDataset} knows (`cifar10` is
 * the one in the cache), or what is on the user's disk:
 *
 * - `imagenet:PATH`, `imagenet64:PATH`, `afhq:PATH`, `cifar10:PATH`: a folder of the official files of
 *   ImageNet (ILSVRC 2012; the size of images must be asked for), downsampled ImageNet 64×64, AFHQ and
 *   CIFAR-10. Archives are not unpacked, but for compressed arrays of ImageNet 64×64, which go into the
 *   cache folder. Encoded images (ImageNet, AFHQ and the PNG form of ImageNet 64×64) go through the
 *   transform of the published code: the shorter side scaled by a triangle filter, the middle cut out, as
 *   torchvision and Pillow do it to the bit (Pillow before 13, which scales some tall images in the other
 *   order).
 * - `folder:PATH`: any folder of images ({@link openFolder}).
 * - `latents:PATH`: a folder with a file SPLIT.safetensors for each split that is opened,
 *   `train+validation.safetensors` among them ({@link openLatents}).
 *
 * @param options for encoded images (`fastDecode` only for those of official sets); of raw pixels
 *   (`cifar10:PATH`, the `.npz` form of `imagenet64:PATH`) only `licence` is read, and for latents and the
 *   names of {@link datasetNames} none
 * @throws UserError for an unknown name, or where the data are not there or damaged; for official sets
 *   with the address that they come from
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
  options: OfficialOptions = {},
): Promise<DataSource> {
  const [, kind, place] = /^(\w+):(.+)$/s.exec(name) ?? [];
  if (isOfficial(name) && !datasetNames.includes(name)) {
    throw officialError(name, `The data set ${name} came without its folder (${name}:PATH)`);
  }
  if (kind === undefined || place === undefined || !isPlaced(kind)) return loadDataset(name, split);
  checkSplit(name, split);
  if (isOfficial(kind)) return openOfficial(kind, place, split, options);
  if (kind === 'folder') return openFolder(place, split, options);
  return openLatents(path.join(place, `${split}.safetensors`), split);
}

function isOfficial(name: string): name is OfficialName {
  return (officialNames as readonly string[]).includes(name);
}

function isPlaced(kind: string): boolean {
  return kind === 'folder' || kind === 'latents' || isOfficial(kind);
}

function checkSplit(name: string, split: Split): void {
  if (splits.includes(split)) return;
  throw new UserError(`Unknown split '${split}' of ${name}`, `Expected ${splits.join(', ')}`);
}
