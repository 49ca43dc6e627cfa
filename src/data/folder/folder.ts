import type { Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { UserError } from '../../backend/errors.js';
import type { FolderDescription } from '../description.js';
import {
  checkIndices,
  type DataSource,
  type ImageSize,
  type Split,
  shared,
  sizeOf,
} from '../source.js';
import { Ahead } from './ahead.js';
import { decodedImage, imageExtensions, measuredImage } from './image-file.js';
import { sharedTexts, textAt } from './texts.js';

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
}

/** Files that are read and decoded side by side: twice the threads that Node has for them. */
const atOnce = 8;

const heldBytes = 64e6;

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
  return openFound({ root, within: parts[0] as string, split, classes, found }, options);
}

/**
 * All pictures in a folder and below, in the order of their paths, without classes: samples of a model,
 * for example. They count as the split `test`.
 *
 * @throws UserError where there are none
 */
export async function openPictures(
  folder: string,
  options: FolderOptions = {},
): Promise<DataSource> {
  const root = path.resolve(folder);
  const found = (await filesIn(root, true)).map((file) => ({ file, label: -1 }));
  return openFound({ root, within: '', split: 'test', classes: [], found }, options);
}

/** What was found in a folder. */
interface Listing {
  root: string;
  /** The sub-folder that was looked into first. */
  within: string;
  split: Split;
  classes: string[];
  found: readonly Found[];
}

async function openFound(
  { root, within, split, classes, found }: Listing,
  { image, licence = 'not stated', held }: FolderOptions,
): Promise<DataSource> {
  const first = found[0];
  if (!first) {
    throw new UserError(
      `${path.join(root, within)} holds no images`,
      `Expected files that end in ${imageExtensions.map((name) => `.${name}`).join(', ')}`,
    );
  }
  if (image && image.channels !== 1 && image.channels !== 3) {
    throw new UserError(
      `Images of ${image.channels} channels were asked for`,
      'Expected 1 (grey) or 3 (colour)',
    );
  }
  // Also where the size is given: a thread may load sharp only after the main one did.
  const measured = await measuredImage(path.join(root, first.file));
  const size = image ?? measured;
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
    held: held ?? Math.ceil(heldBytes / sizeOf(size)),
  });
}

/** The source that a description is of. */
export function folderSource(description: FolderDescription): DataSource {
  const { name, split, image, classes, labels, licence, folder, paths, fit, held } = description;
  const size = sizeOf(image);
  const decoded = new Ahead(
    (index) => decodedImage(path.join(folder, textAt(paths, index)), image, fit),
    { held, atOnce },
  );
  return {
    ...{ name, split, image, classes, labels, licence, description },
    length: labels.length,
    async read(indices) {
      checkIndices(this, indices);
      const values = new Uint8Array(indices.length * size);
      await Promise.all(
        Array.from(indices, async (index, place) => {
          values.set(await decoded.take(index), place * size);
        }),
      );
      return {
        count: indices.length,
        image,
        values,
        labels: Int32Array.from(indices, (index) => labels[index] as number),
      };
    },
    prefetch(indices) {
      checkIndices(this, indices);
      decoded.expect(indices);
    },
  };
}

interface Found {
  /** Path within the folder. */
  file: string;
  label: number;
}

/** The sub-folders of all splits: each split has the same classes, also where it lacks images of one. */
async function classNames(root: string): Promise<string[]> {
  const names = new Set<string>();
  let splitFolders = 0;
  for (const split of ['train', 'validation', 'test']) {
    const entries = await fs
      .readdir(path.join(root, split), { withFileTypes: true })
      .catch(() => []);
    if (entries.length > 0) splitFolders++;
    for (const entry of visible(entries)) {
      if (await isFolder(path.join(root, split), entry)) names.add(entry.name);
    }
  }
  if (splitFolders === 0) {
    throw new UserError(
      `The folder ${root} has no images in sub-folders train, validation or test`,
      'Expected train/CLASS/IMAGE.png and so on, or train/IMAGE.png where there are no classes',
    );
  }
  return [...names].sort(byCodeUnits);
}

/** The images of a split, class by class, sorted by their paths. */
async function listed(root: string, split: string, classes: readonly string[]): Promise<Found[]> {
  const loose = await filesIn(path.join(root, split), false);
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
  const perClass = await Promise.all(
    classes.map(async (name, label) => {
      const files = await filesIn(path.join(root, split, name), true);
      return files.map((file) => ({ file: path.join(split, name, file), label }));
    }),
  );
  return perClass.flat();
}

/** The images in a folder that may not be there, as paths within it. */
async function filesIn(folder: string, recursive: boolean): Promise<string[]> {
  const entries = await fs.readdir(folder, { withFileTypes: true, recursive }).catch(() => []);
  return visible(entries)
    .filter((entry) => !entry.isDirectory() && isImage(entry.name))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort(byCodeUnits);
}

function isImage(name: string): boolean {
  return imageExtensions.includes(path.extname(name).slice(1).toLowerCase());
}

async function isFolder(parent: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  const target = await fs.stat(path.join(parent, entry.name)).catch(() => undefined);
  return target?.isDirectory() ?? false;
}

function visible(entries: readonly Dirent[]): Dirent[] {
  return entries.filter(({ name }) => !name.startsWith('.'));
}

/** The same on every machine, whatever its language. */
function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
