import type { Texts } from './folder/texts.js';

/** Size of an image tensor: channels, height and width in pixels. */
export interface ImageSize {
  channels: number;
  height: number;
  width: number;
}

/**
 * The parts of a data set: one to train on, one to choose by, one to report. `train+validation` is
 * all that may be trained on, in its own order; what was published as a training set is that.
 */
export const splits = ['train', 'validation', 'test', 'train+validation'] as const;
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

/** What is known of a source without reading a sample. */
export interface SourceFacts {
  name: string;
  split: Split;
  image: ImageSize;
  /** What the labels 0, 1, … stand for; empty where samples have none. */
  classes: string[];
  /** One class index a sample; −1 where it has none. */
  labels: Int32Array;
  /** Present where samples come with the states of their captions. */
  text?: CaptionFacts | undefined;
  /** Under what terms the samples may be used, and where they come from. */
  licence: string;
}

export interface MemoryDescription extends SourceFacts {
  kind: 'memory';
  /** (length, channels, height, width), row by row, values 0 … 255. */
  pixels: Uint8Array;
  captions?: string[];
}

export interface FolderDescription extends SourceFacts {
  kind: 'folder';
  folder: string;
  /** One an image, within the folder. */
  paths: Texts;
  /** How an image that has another size is brought to the one asked for. */
  fit: 'crop' | 'exact';
  /** Images decoded ahead of need that are kept at most. */
  held: number;
}

export interface LatentsDescription extends SourceFacts {
  kind: 'latents';
  file: string;
}

/** Where the samples of a source lie. */
export type SourceDescription = MemoryDescription | FolderDescription | LatentsDescription;
