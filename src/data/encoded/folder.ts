import * as path from 'node:path';
import { UserError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { shared, sharedTexts, textAt } from '../shared-memory.js';
import type { DataSource, FolderDescription, ImageSize, Split } from '../source.js';
import { encodedSource, usuallyHeld } from './encoded-source.js';
import { imageExtensions, loadedSharp, measuredImage } from './image-file.js';
import {
  byCodeUnits,
  type FoundImage,
  holdsSomething,
  imagesIn,
  imagesOfClasses,
  subFolders,
} from './listing.js';

export interface FolderOptions {
  /**
   * The size that all images are brought to: scaled until they cover it, then cropped around the
   * middle; one channel or three. Without it all images must be of the first one's size.
   */
  image?: ImageSize | undefined;
  /** Under what terms the images may be used. */
  licence?: string | undefined;
  /** Images decoded ahead of need that are kept at most. Default: 64 MB of them. */
  held?: number | undefined;
  /**
   * What becomes of an image that cannot be decoded. `replaced`, the default: another image of its
   * class stands in for it, and it is named and counted in a warning and in the source's `damaged`.
   * `refused`: reading it throws an error that names it.
   */
  damaged?: 'replaced' | 'refused' | undefined;
}

/** @throws UserError for channels that images are not decoded to */
export function checkChannels({ channels }: ImageSize): void {
  if (channels === 1 || channels === 3) return;
  throw new UserError(
    `Images of ${channels} channels were asked for`,
    'Expected 1 (grey) or 3 (colour)',
  );
}

/**
 * A folder of images as a data set: `FOLDER/SPLIT/CLASS/…/FILE`, the classes in the order of their
 * names, or `FOLDER/SPLIT/FILE` without classes. Splits are `train`, `validation` and `test`. Images
 * are decoded when they are read, ahead of need where that is known, so the set may be larger than
 * memory.
 *
 * @throws UserError where the folder is not of that form or holds no image
 */
export async function openFolder(
  folder: string,
  split: Split,
  options: FolderOptions = {},
): Promise<DataSource> {
  const root = path.resolve(folder);
  const classes = await classNames(root);
  const parts = split === 'train+validation' ? ['train', 'validation'] : [split];
  const found = (await Promise.all(parts.map((part) => listed(root, part, classes)))).flat();
  return openFound({ root, within: parts[0]!, split, classes, found }, options);
}

/**
 * All images in a folder and its sub-folders, in the order of their paths, without classes: samples of a
 * model, for example. They count as the split `test`.
 *
 * @throws UserError where there are none
 */
export async function openPictures(
  folder: string,
  options: FolderOptions = {},
): Promise<DataSource> {
  const root = path.resolve(folder);
  const found = (await imagesIn(root, true)).map((file) => ({ file, label: -1 }));
  return openFound({ root, within: '', split: 'test', classes: [], found }, options);
}

/** What was found in a folder. */
interface Listing {
  root: string;
  /** The sub-folder that was looked into first. */
  within: string;
  split: Split;
  classes: string[];
  found: readonly FoundImage[];
}

async function openFound(
  { root, within, split, classes, found }: Listing,
  { image, licence = 'not stated', held, damaged = 'replaced' }: FolderOptions,
): Promise<DataSource> {
  const first = found[0];
  if (!first) {
    throw new UserError(
      `${path.join(root, within)} holds no images`,
      `Expected files that end in ${imageExtensions.map((name) => `.${name}`).join(', ')}`,
    );
  }
  if (image) checkChannels(image);
  // A thread may load sharp only after the main one did.
  loadedSharp();
  const name = path.join(root, first.file);
  const size = image ?? (await measuredImage({ name, bytes: await readBytes(name) }));
  return folderSource({
    kind: 'folder',
    name: path.basename(root),
    split,
    image: size,
    classes,
    labels: shared(Int32Array.from(found, ({ label }) => label)),
    licence,
    folder: root,
    paths: sharedTexts(found.map(({ file }) => file)),
    fit: image ? 'crop' : 'exact',
    damaged,
    held: held ?? usuallyHeld(size),
  });
}

/** The source that a description is of. */
export function folderSource(description: FolderDescription): DataSource {
  const file = (index: number) => path.join(description.folder, textAt(description.paths, index));
  return encodedSource(description, { name: file, bytes: (index) => readBytes(file(index)) });
}

/** The classes of all splits: each split has the same, also where it lacks images of one. */
async function classNames(root: string): Promise<string[]> {
  const splits = ['train', 'validation', 'test'].map((split) => path.join(root, split));
  const present = await Promise.all(splits.map(holdsSomething));
  if (!present.includes(true)) {
    throw new UserError(
      `The folder ${root} has no images in sub-folders train, validation or test`,
      'Expected train/CLASS/IMAGE.png and so on, or train/IMAGE.png where there are no classes',
    );
  }
  const names = await Promise.all(splits.map(subFolders));
  return [...new Set(names.flat())].sort(byCodeUnits);
}

/** The images of a split, class by class, sorted by their paths. */
async function listed(
  root: string,
  split: string,
  classes: readonly string[],
): Promise<FoundImage[]> {
  const loose = await imagesIn(path.join(root, split), false);
  const [example] = loose;
  if (classes.length === 0) {
    return loose.map((file) => ({ file: path.join(split, file), label: -1 }));
  }
  if (example !== undefined) {
    throw new UserError(
      `The image ${path.join(root, split, example)} lies beside folders of classes`,
      'Move it into the folder of its class',
    );
  }
  return imagesOfClasses(root, split, classes);
}
