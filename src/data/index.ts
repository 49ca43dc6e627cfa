/**
 * Data sets and folders of images.
 *
 * @example
 * ```ts
 * import { labelBatch, loadDataset } from 'tarflow/data';
 *
 * const digits = await loadDataset('mnist-10k-subset', 'train');
 * console.log(digits.length, labelBatch(digits, [0, 1, 2]));
 * ```
 *
 * @module tarflow/data
 */

import * as path from 'node:path';
import { UserError, unknownName } from '../core/errors.js';
import { openFolder } from './encoded/folder.js';
import { exists } from './encoded/listing.js';
import { openLatents } from './latents/latent-file.js';
import type { ImageDataset } from './memory.js';
import { afhq } from './sets/afhq.js';
import { cifar10, loadCifar10 } from './sets/cifar10.js';
import { loadFashionMnist } from './sets/fashion-mnist.js';
import { imagenet } from './sets/imagenet.js';
import { imagenet64 } from './sets/imagenet64.js';
import { loadMnistSubset } from './sets/mnist-subset.js';
import { type OfficialOptions, type OfficialSet, officialError } from './sets/official-set.js';
import { type DataSource, type Split, splits } from './source.js';

export { type CaptionStates, withCaptionStates } from './captioned.js';
export { type FolderOptions, openFolder, openPictures } from './encoded/folder.js';
export { type FolderSurvey, surveyFolder } from './encoded/survey.js';
export {
  type LatentSet,
  latentScale,
  openLatents,
  type WritableLatents,
  writeLatents,
} from './latents/latent-file.js';
export { type ImageDataset, type ImageParts, imageDataset } from './memory.js';
export * from './reading.js';
export type { OfficialOptions } from './sets/official-set.js';
export type {
  CaptionFacts,
  DataSource,
  ImageSize,
  RawBatch,
  SourceDescription,
  Split,
} from './source.js';
export { firstOfEachClass } from './splits.js';

/** What loads a split of each of some data sets, by their names. */
export type Datasets = Readonly<Record<string, (split: Split) => Promise<ImageDataset>>>;

const loaders = new Map<string, Datasets[string]>();
const names: string[] = [];

/** What a user has in a folder as it is officially distributed, NAME:FOLDER. */
const officialSets: readonly OfficialSet[] = [imagenet, imagenet64, afhq, cifar10];

/**
 * The names that {@link loadDataset} knows: those of the library, and those that were registered since.
 *
 * @example
 * ```ts
 * import { datasetNames } from 'tarflow';
 *
 * console.log(datasetNames.join(', ')); // fashion-mnist, mnist-10k-subset, …
 * ```
 */
export const datasetNames: readonly string[] = names;

/**
 * Makes data sets known by name to {@link loadDataset} and to the command line; a name that is known
 * already stands for the new one.
 */
export function registerDatasets(datasets: Datasets): void {
  for (const [name, load] of Object.entries(datasets)) {
    if (!loaders.has(name)) names.push(name);
    loaders.set(name, load);
  }
}

registerDatasets({
  'fashion-mnist': loadFashionMnist,
  'mnist-10k-subset': loadMnistSubset,
  cifar10: loadCifar10,
});

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
  const load = loaders.get(name);
  if (!load) {
    if (await exists(name)) {
      throw new UserError(`Unknown data set '${name}'`, `Expected folder:${name} for its pictures`);
    }
    throw unknownName('data set', name, [...datasetNames, ...datasetForms]);
  }
  checkSplit(split);
  return load(split);
}

/** What {@link openDataset} takes beside {@link datasetNames}, for help texts. */
export const datasetForms: readonly string[] = [
  ...officialSets.map(({ name }) => `${name}:PATH`),
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
 * - `folder:PATH`: any folder of images, with splits or without ({@link openFolder}).
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
  const [, kind = name, place] = /^(\w+):(.+)$/s.exec(name) ?? [];
  const official = officialSets.find((set) => set.name === kind);
  if (place === undefined && official && !datasetNames.includes(name)) {
    throw officialError(official, `The data set ${name} came without its folder (${name}:PATH)`);
  }
  const isPlaced = official || kind === 'folder' || kind === 'latents';
  if (place === undefined || !isPlaced) return loadDataset(name, split);
  checkSplit(split);
  if (kind === 'folder') return openFolder(place, split, options);
  if (!official) return openLatents(path.join(place, `${split}.safetensors`), split);
  const root = path.resolve(place);
  if (!(await exists(root))) throw officialError(official, `There is no folder ${root}`);
  return official.open({ root, split, options });
}

/**
 * A data set as {@link openDataset} takes it from any folder: pictures by their full path. A path alone is that of
 * a folder of pictures.
 */
export function datasetFromAnywhere(dataset: string): string {
  const isNamed = datasetNames.includes(dataset) || /^\w+:./s.test(dataset);
  const [, folder] = isNamed ? (/^folder:(.+)$/s.exec(dataset) ?? []) : ['', dataset];
  return folder === undefined ? dataset : `folder:${path.resolve(folder)}`;
}

function checkSplit(split: Split): void {
  if (splits.includes(split)) return;
  throw unknownName('split', split, splits);
}
