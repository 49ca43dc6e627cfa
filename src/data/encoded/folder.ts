import { createHash } from 'node:crypto';
import * as path from 'node:path';
import { UserError } from '../../core/errors.js';
import { nearestPath, readBytes } from '../../core/files.js';
import { shared, sharedTexts, textAt } from '../shared-memory.js';
import type { DataSource, FolderDescription, ImageSize, Split } from '../source.js';
import { inTurn } from '../splits.js';
import { encodedSource, usuallyHeld } from './encoded-source.js';
import { imageExtensions, loadedSharp, measuredImage } from './image-file.js';
import {
  byCodeUnits,
  exists,
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
 * A folder of images as a data set, in one of three layouts:
 *
 * - `FOLDER/SPLIT/CLASS/…/FILE` or `FOLDER/SPLIT/FILE`: splits are `train`, `validation` and `test`;
 * - `FOLDER/CLASS/…/FILE`, as ImageFolder has it: the classes in the order of their names;
 * - `FOLDER/FILE`: no classes.
 *
 * Without splits a tenth of each class is held out for `validation`, at least one image where there are
 * two, and the rest is `train`. Which ones depends on their paths alone. Images are decoded when they are
 * read, ahead of need where that is known, so the set may be larger than memory.
 *
 * @throws UserError where the folder is not of that form or holds no image
 */
export async function openFolder(
  folder: string,
  split: Split,
  options: FolderOptions = {},
): Promise<DataSource> {
  const layout = await folderLayout(folder);
  const { root, classes, splits, cut } = layout;
  const parts: Split[] = split === 'train+validation' ? ['train', 'validation'] : [split];
  const there = parts.filter((part) => splits.includes(part));
  if (there.length === 0) {
    throw new UserError(
      `${root} has no images of the split '${split}'`,
      cut && split === 'validation'
        ? 'Expected a class with two images or more, of which one is held out'
        : `Expected one of ${splits.join(', ')}` +
            (cut ? '' : `, or images in ${path.join(root, split)}`),
    );
  }
  const found = (await Promise.all(there.map((part) => layout.images(part)))).flat();
  return openFound({ root, within: cut ? '' : there[0]!, split, classes, found }, options);
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
  if (!first) throw noImages(path.join(root, within));
  if (image) checkChannels(image);
  // A thread may load sharp only after the main one did.
  loadedSharp();
  const name = path.join(root, first.file);
  const size = image ?? (await measuredImage({ name, bytes: await readBytes(name) })).image;
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

/** What lies where in a folder of images. */
export interface FolderLayout {
  /** The folder's full path. */
  root: string;
  classes: string[];
  /** The splits that it has. */
  splits: Split[];
  /** Whether its splits are made here, by holding out a tenth of each class. */
  cut: boolean;
  /** The images of a split, class by class or one of each class in turn. */
  images(split: Split): Promise<FoundImage[]>;
}

/**
 * Which of the layouts of {@link openFolder} a folder has.
 * @throws UserError for a folder that is not there, has no image or a class without one, or has images
 *   beside folders of classes
 */
export async function folderLayout(folder: string): Promise<FolderLayout> {
  const root = path.resolve(folder);
  if (!(await exists(root))) {
    const meant = await nearestPath(root);
    throw new UserError(`There is no folder ${root}`, `${meant}Expected a folder with images`);
  }
  const names: Split[] = ['train', 'validation', 'test'];
  const present = await Promise.all(names.map((name) => holdsSomething(path.join(root, name))));
  const splits = names.filter((_, i) => present[i]);
  if (splits.length > 0) {
    const inside = await Promise.all(names.map((name) => subFolders(path.join(root, name))));
    // Each split has the same, also where it lacks images of one.
    const classes = [...new Set(inside.flat())].sort(byCodeUnits);
    return { root, classes, splits, cut: false, images: (part) => listed(root, part, classes) };
  }
  const folders = await subFolders(root);
  const classes = (await imagesOfClasses(root, '', folders)).length > 0 ? folders : [];
  const found = await listed(root, '', classes);
  if (found.length === 0) throw noImages(root);
  const empty = classes.find((_, label) => !found.some((one) => one.label === label));
  if (empty !== undefined) {
    throw new UserError(
      `The class ${path.join(root, empty)} holds no images`,
      'Put images of that class into it, or move it out of the folder',
    );
  }
  const held = heldOut(found);
  return {
    root,
    classes,
    splits: held.size > 0 ? ['train', 'validation'] : ['train'],
    cut: true,
    images: async (part) =>
      alternating(found.filter((one) => held.has(one) === (part !== 'train'))),
  };
}

function noImages(folder: string): UserError {
  return new UserError(
    `${folder} holds no images`,
    `Expected files that end in ${imageExtensions.map((name) => `.${name}`).join(', ')}, in ` +
      'CLASS/IMAGE.png, train/CLASS/IMAGE.png and so on, or without classes',
  );
}

/** A tenth of the images of each class, at least one where there are two: those of the least hashes. */
function heldOut(found: readonly FoundImage[]): Set<FoundImage> {
  const hash = ({ file }: FoundImage) =>
    createHash('sha256').update(file.split(path.sep).join('/')).digest('hex');
  const ranked = found
    .map((image) => ({ image, rank: hash(image) }))
    .sort((a, b) => byCodeUnits(a.rank, b.rank));
  const labels = new Set(found.map(({ label }) => label));
  const held = [...labels].flatMap((label) => {
    const own = ranked.filter(({ image }) => image.label === label);
    const count = own.length < 2 ? 0 : Math.max(1, Math.round(own.length / 10));
    return own.slice(0, count).map(({ image }) => image);
  });
  return new Set(held);
}

/** One image of each class in turn. */
function alternating(found: readonly FoundImage[]): FoundImage[] {
  const labels = found.map(({ label }) => label);
  return [...inTurn(labels, labels.keys())].map((index) => found[index]!);
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
