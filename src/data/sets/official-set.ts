import * as path from 'node:path';
import { UserError } from '../../core/errors.js';
import { archiveSource, type TarIndex } from '../encoded/archive.js';
import { usuallyHeld } from '../encoded/encoded-source.js';
import { checkChannels, type FolderOptions, folderSource } from '../encoded/folder.js';
import { loadedSharp } from '../encoded/image-file.js';
import type { FoundImage } from '../encoded/listing.js';
import { shared, sharedTexts } from '../shared-memory.js';
import {
  type DataSource,
  type DecodingRules,
  type ImageSize,
  labelsAt,
  type SourceFacts,
  type Split,
} from '../source.js';
import { inTurn, splitIndices } from '../splits.js';

/** A data set of the papers that a user has on disk as it is officially distributed: `NAME:FOLDER`. */
export interface OfficialSet {
  name: string;
  title: string;
  /** Where it is to be had. */
  address: string;
  /** What a folder of it holds. */
  layout: string;
  licence: string;
  /** @throws UserError where files are missing, or not as they are distributed */
  open(opening: Opening): Promise<DataSource>;
}

export interface OfficialOptions extends FolderOptions {
  /**
   * JPEGs are scaled down while they are decoded: faster, and only near to the published transform.
   * Default: false.
   */
  fastDecode?: boolean | undefined;
}

/** What to open of an official set. */
export interface Opening {
  /** The folder that the user named. */
  root: string;
  split: Split;
  options: OfficialOptions;
}

/** What is wrong with the files of a set, with where to get it and what its folder holds. */
export function officialError({ title, address, layout }: OfficialSet, problem: string): UserError {
  return new UserError(problem, `Get ${title} from ${address}. Expected in the folder: ${layout}`);
}

/** Encoded images in files of their own or in an archive, with their labels. */
export interface ImageCollection {
  /** Where they lie, for errors. */
  place: string;
  labels: Int32Array;
  /** A source of some of them. */
  source(chosen: Int32Array, facts: SourceFacts & DecodingRules): DataSource;
}

/** Image files within a folder. */
export function folderCollection(
  root: string,
  within: string,
  found: readonly FoundImage[],
): ImageCollection {
  return {
    place: path.join(root, within),
    labels: Int32Array.from(found, ({ label }) => label),
    source: (chosen, facts) =>
      folderSource({
        ...facts,
        kind: 'folder',
        folder: root,
        paths: sharedTexts(Array.from(chosen, (index) => found[index]!.file)),
      }),
  };
}

/** The images of a tar archive. */
export function archiveCollection(
  file: string,
  { names, positions, lengths }: TarIndex,
  labels: Int32Array,
): ImageCollection {
  return {
    place: file,
    labels,
    source: (chosen, facts) =>
      archiveSource({
        ...facts,
        kind: 'archive',
        file,
        names: sharedTexts(Array.from(chosen, (index) => names[index]!)),
        positions: shared(Float64Array.from(chosen, (index) => positions[index]!)),
        lengths: shared(Float64Array.from(chosen, (index) => lengths[index]!)),
      }),
  };
}

/**
 * A split of an official set: of the collection that may be trained on, some images of each class are
 * held out; the test split is another collection, all of it. One image of each class comes in turn, so
 * that the first thousand are no thousand of one class, and wherever the images lie their order is the
 * same.
 *
 * @param heldOut validation images of each class
 * @throws UserError where the split holds no images
 */
export function openCollection(
  set: OfficialSet,
  { split, options }: Opening,
  collection: ImageCollection,
  { image, classes, heldOut }: { image: ImageSize; classes: string[]; heldOut: number },
): DataSource {
  checkChannels(image);
  loadedSharp();
  const { labels, place } = collection;
  if (labels.length === 0) throw officialError(set, `${place} holds no images`);
  const chosen = splitIndices(split, labels, { classes: classes.length, heldOut });
  if (chosen.length === 0) {
    throw officialError(
      set,
      `${place} has ${labels.length} images in ${Math.max(1, classes.length)} classes, too few for a split ${split}`,
    );
  }
  const order = inTurn(labels, chosen);
  return collection.source(order, {
    name: options.fastDecode ? `${set.name}, fast decode` : set.name,
    split,
    image,
    classes,
    labels: shared(labelsAt(labels, order)),
    licence: options.licence ?? set.licence,
    fit: options.fastDecode ? 'fast' : 'published',
    held: options.held ?? usuallyHeld(image),
    damaged: options.damaged ?? 'replaced',
  });
}
