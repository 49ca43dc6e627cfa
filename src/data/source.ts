import type { SharedTexts } from './shared-memory.js';

/** Size of an image tensor: channels, height and width in pixels. */
export interface ImageSize {
  channels: number;
  height: number;
  width: number;
}

/** The names of splits, see {@link Split}. */
export const splits = ['train', 'validation', 'test', 'train+validation'] as const;

/**
 * The parts of a data set: one to train on, one to choose by, one to report. `train+validation` is
 * all that may be trained on, in its own order; what was published as a training set is that.
 */
export type Split = (typeof splits)[number];

/** The states of captions that come with samples: so many entries, of so many numbers each. */
export interface CaptionFacts {
  entries: number;
  width: number;
  /** Those of the empty caption (entries, width), row by row. */
  empty: Float32Array;
  /** What made them, where that is known: its name and the SHA-256 of its weights. */
  encoder?: { name: string; weights: string } | undefined;
}

/** What is known of the autoencoder that samples are latents of, as far as their file says it. */
export interface LatentFacts {
  /** What its latents were multiplied by, so that a flow sees unit variance. */
  scale?: number | undefined;
  /** The SHA-256 of its file. */
  autoencoder?: string | undefined;
}

/** What is known of a source without reading a sample. */
export interface SourceFacts {
  name: string;
  split: Split;
  image: ImageSize;
  /** What the labels 0, 1, … stand for; empty where samples have none. */
  classes: string[];
  /** One class index per sample; −1 where it has none. */
  labels: Int32Array;
  /** Present where samples come with the states of their captions. */
  text?: CaptionFacts | undefined;
  /** Present where samples are latents, and their file says of what. */
  latents?: LatentFacts | undefined;
  /** Under what terms the samples may be used, and where they come from. */
  licence: string;
}

export interface MemoryDescription extends SourceFacts {
  kind: 'memory';
  /** (length, channels, height, width), row by row, values 0 … 255. */
  pixels: Uint8Array;
  captions?: string[];
}

/** How encoded images become samples. */
export interface DecodingRules {
  /**
   * How an image that has another size is brought to the one asked for: `crop` scales it until it
   * covers that and cuts out the middle, `exact` refuses it. `published` is the transform of the
   * published code to the bit, of JPEGs too; `fast` is near to it and takes less time.
   */
  fit: 'crop' | 'exact' | 'published' | 'fast';
  /** Whether another image of its class stands in for one that is damaged, or reading fails. */
  damaged: 'replaced' | 'refused';
  /** Images decoded ahead of need that are kept at most. */
  held: number;
}

export interface FolderDescription extends SourceFacts, DecodingRules {
  kind: 'folder';
  folder: string;
  /** One per image, within the folder. */
  paths: SharedTexts;
}

export interface ArchiveDescription extends SourceFacts, DecodingRules {
  kind: 'archive';
  /** A tar archive, not compressed. */
  file: string;
  /** One per image: what it is called in the archive. */
  names: SharedTexts;
  /** Where its bytes begin there. */
  positions: Float64Array;
  /** How many bytes they are. */
  lengths: Float64Array;
}

export interface RowsDescription extends SourceFacts {
  kind: 'rows';
  /** Files with bytes (rows, channels, height, width) from a place on; counted as one after the other. */
  parts: { file: string; position: number; rows: number }[];
  /** Which row each sample is. */
  rows: Int32Array;
}

export interface LatentsDescription extends SourceFacts {
  kind: 'latents';
  file: string;
  captions?: SharedTexts;
}

/** Another source, whose samples come with the states of their captions. */
export interface CaptionedDescription extends SourceFacts {
  kind: 'captioned';
  of: SourceDescription;
  text: CaptionFacts;
  /** Of each different caption (captions, entries, width), row by row. */
  states: Float32Array;
  /** Which of the captions each sample has. */
  which: Int32Array;
}

/** Where the samples of a source lie. */
export type SourceDescription =
  | MemoryDescription
  | FolderDescription
  | ArchiveDescription
  | RowsDescription
  | LatentsDescription
  | CaptionedDescription;

/** Some samples of a source, before noise. */
export interface RawBatch {
  /** The number of samples. */
  count: number;
  image: ImageSize;
  /**
   * (count, channels, height, width), row by row: grey levels 0 … 255, or numbers as they are (latents).
   */
  values: Uint8Array | Float32Array;
  /** One class index per sample; −1 where it has none. */
  labels: Int32Array;
  /** What each sample shows, in words, where the source says so. */
  captions?: readonly string[];
  /** The states of captions (count, entries, width), and of the empty one (entries, width). */
  text?: { states: Float32Array; empty: Float32Array };
}

/** Samples of one size with random access by index, wherever they lie. */
export interface DataSource extends Readonly<SourceFacts> {
  /** The number of samples. */
  readonly length: number;
  /**
   * What another thread needs to open the same source. A structured clone of it copies no sample: large
   * arrays are shared.
   */
  readonly description: SourceDescription;
  /**
   * The samples at `indices`, in that order: a promise where they come from files.
   *
   * @throws RangeError for an index outside the source; UserError, or a promise that is rejected
   *   with one, for a file that cannot be read
   */
  read(indices: ArrayLike<number>): RawBatch | Promise<RawBatch>;
  /**
   * Names of the images that were found damaged so far, in this thread; absent where there are no
   * encoded images. Another image of its class stands in for each.
   */
  readonly damaged?: ReadonlySet<string>;
  /** Says what is read next, so that it can be made ready meanwhile; absent where that is no gain. */
  prefetch?(indices: ArrayLike<number>): void;
}

/**
 * Checks indices before they are read.
 * @throws RangeError for the first one outside the source
 */
export function checkIndices(
  { name, split, length }: Pick<DataSource, 'name' | 'split' | 'length'>,
  indices: ArrayLike<number>,
): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    if (Number.isInteger(index) && index >= 0 && index < length) continue;
    throw new RangeError(`Sample ${index} of ${name} (${split}): expected 0 to ${length - 1}.`);
  }
}

/** The numbers of a sample. */
export function sizeOf({ channels, height, width }: ImageSize): number {
  return channels * height * width;
}

/** What a source says of itself, by its description. */
export function factsOf<D extends SourceDescription>(description: D) {
  const { name, split, image, classes, labels, licence, text, latents } = description;
  const length = labels.length;
  return { name, split, image, classes, labels, licence, text, latents, length, description };
}

/** The samples at `indices` of a source, whose labels stand in its description. */
export function batchOf(
  { image, labels }: Pick<SourceFacts, 'image' | 'labels'>,
  indices: ArrayLike<number>,
  values: RawBatch['values'],
): RawBatch {
  return { count: indices.length, image, values, labels: labelsAt(labels, indices) };
}

/** The labels at `indices`. */
export function labelsAt(labels: ArrayLike<number>, indices: ArrayLike<number>): Int32Array {
  return Int32Array.from(indices, (index) => labels[index]!);
}
