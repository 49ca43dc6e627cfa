import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { archiveSource } from '../archive/archive.js';
import type { TarIndex } from '../archive/tar-index.js';
import type { DecodingRules, SourceFacts } from '../description.js';
import { usuallyHeld } from '../folder/encoded-source.js';
import { checkChannels, folderSource } from '../folder/folder.js';
import { loadedSharp } from '../folder/image-file.js';
import type { FoundImage } from '../folder/listing.js';
import { sharedTexts } from '../folder/texts.js';
import { inTurn, splitIndices } from '../memory/splits.js';
import { type DataSource, type ImageSize, shared } from '../source.js';
import { type OfficialName, type Opening, officialError, officialSets } from './sets.js';

/** Encoded images in files of their own or in an archive, with their labels. */
export interface ImageCollection {
  /** Where they lie, for errors. */
  place: string;
  labels: Int32Array;
  /** A source of some of them. */
  source(chosen: Int32Array, facts: Omit<SourceFacts, 'labels'> & DecodingRules): DataSource;
}

/** Image files within a folder. */
export function folderCollection(
  root: string,
  within: string,
  found: readonly FoundImage[],
): ImageCollection {
  const labels = Int32Array.from(found, ({ label }) => label);
  return {
    place: path.join(root, within),
    labels,
    source: (chosen, facts) =>
      folderSource({
        ...facts,
        kind: 'folder',
        folder: root,
        labels: at(labels, chosen),
        paths: sharedTexts(Array.from(chosen, (index) => (found[index] as FoundImage).file)),
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
        labels: at(labels, chosen),
        names: sharedTexts(Array.from(chosen, (index) => names[index] as string)),
        positions: shared(Float64Array.from(chosen, (index) => positions[index] as number)),
        lengths: shared(Float64Array.from(chosen, (index) => lengths[index] as number)),
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
  set: OfficialName,
  { split, options }: Opening,
  collection: ImageCollection,
  { image, classes, heldOut }: { image: ImageSize; classes: string[]; heldOut: number },
): DataSource {
  checkChannels(image);
  loadedSharp();
  const { labels, place } = collection;
  const chosen =
    split === 'test'
      ? Int32Array.from(labels.keys())
      : splitIndices(split, labels, { classes: classes.length, heldOut });
  if (labels.length === 0) throw officialError(set, `${place} holds no images`);
  if (chosen.length === 0) {
    throw officialError(
      set,
      `${place} has ${labels.length} images in ${Math.max(1, classes.length)} classes, too few for a split ${split}`,
    );
  }
  return collection.source(inTurn(labels, chosen), {
    name: options.fastDecode ? `${set}, fast decode` : set,
    split,
    image,
    classes,
    licence: options.licence ?? officialSets[set].licence,
    fit: options.fastDecode ? 'fast' : 'published',
    held: options.held ?? usuallyHeld(image),
    damaged: options.damaged ?? 'replaced',
  });
}

/** Whether there is a file or a folder. */
export async function exists(file: string): Promise<boolean> {
  return fs.stat(file).then(
    () => true,
    () => false,
  );
}

function at(labels: Int32Array, chosen: Int32Array): Int32Array {
  return shared(chosen.map((index) => labels[index] as number));
}
