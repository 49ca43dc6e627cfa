import type { Texts } from './folder/texts.js';

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
  paths: Texts;
}

export interface ArchiveDescription extends SourceFacts, DecodingRules {
  kind: 'archive';
  /** A tar archive, not compressed. */
  file: string;
  /** One per image: what it is called in the archive. */
  names: Texts;
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
  captions?: Texts;
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
