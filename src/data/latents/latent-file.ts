import * as path from 'node:path';
import { UserError } from '../../core/errors.js';
import {
  openSafetensors,
  type SafetensorsFile,
  writeSafetensors,
} from '../../formats/safetensors.js';
import type { CaptionFacts, ImageSize, LatentFacts, LatentsDescription } from '../description.js';
import { sharedTexts, textAt } from '../folder/texts.js';
import { checkIndices, type DataSource, type Split, shared, sizeOf } from '../source.js';

/**
 * A safetensors file of latents as a data set, read sample by sample, so it may be larger than
 * memory. It holds `latents` (n, channels, height, width) of 32 or 16 bits, and it may hold `labels` (n),
 * whole numbers from 0, or −1 for a sample without a class. Its metadata may say `name`, `licence`, as
 * `classes` a JSON list of their names, as `captions` one of a text for each sample, as `scale` what the
 * latents were multiplied by, and as `autoencoder` the SHA-256 of what made them. Where samples have states
 * of captions it holds them as `text` (n, entries, width) of 32 or 16 bits and those of the empty caption as
 * `empty_text` (entries, width); its metadata may say as `textEncoder` what made them,
 * `{"name": …, "weights": …}` with the SHA-256 of the weights (`writeCaptionStates` writes all that).
 *
 * @param split what the file is, in the eyes of those who use it
 * @throws UserError where the file cannot be read or is not of that form
 */
export async function openLatents(file: string, split: Split): Promise<DataSource> {
  const opened = await openSafetensors(path.resolve(file));
  try {
    const { metadata } = opened;
    const [length, channels, height, width] = latentsShape(opened);
    const labels = await labelsOf(opened, length);
    const captions = captionsOf(opened, length);
    const text = await captionFacts(opened, length);
    const latents = latentFacts(opened);
    return latentsSource({
      kind: 'latents',
      name: metadata.name ?? path.basename(file, '.safetensors'),
      split,
      image: { channels, height, width },
      classes: classesOf(opened, labels),
      labels: shared(labels),
      ...(text && { text }),
      ...(latents && { latents }),
      licence: metadata.licence ?? 'not stated',
      file: opened.path,
      ...(captions && { captions: sharedTexts(captions) }),
    });
  } finally {
    await opened.close();
  }
}

/** Types of numbers that states and latents may have. */
const floats: readonly string[] = ['F32', 'BF16', 'F16'];

/** The source that a description is of. */
export function latentsSource(description: LatentsDescription): DataSource {
  const { name, split, image, classes, labels, text, captions, licence, file } = description;
  const { latents } = description;
  const size = sizeOf(image);
  const length = labels.length;
  return {
    ...{ name, split, image, classes, labels, licence, description },
    ...(text && { text }),
    ...(latents && { latents }),
    length,
    async read(indices) {
      checkIndices(this, indices);
      let values: Float32Array;
      let states: Float32Array | undefined;
      const opened = await openSafetensors(file);
      try {
        const { channels, height, width } = image;
        if (latentsShape(opened).join() !== [length, channels, height, width].join()) {
          throw new UserError(
            `The latents of ${file} have become others`,
            'Leave the file as it is while it is read',
          );
        }
        values = await rowsAt(opened, 'latents', indices, size);
        states = text && (await rowsAt(opened, 'text', indices, text.entries * text.width));
      } finally {
        await opened.close();
      }
      return {
        count: indices.length,
        image,
        values,
        labels: Int32Array.from(indices, (index) => labels[index] as number),
        ...(captions && { captions: Array.from(indices, (index) => textAt(captions, index)) }),
        ...(text && states && { text: { states, empty: text.empty } }),
      };
    },
  };
}

/** Latents for a file, and what is known of their samples. */
export interface LatentSet {
  /** (n, channels, height, width), row by row. */
  latents: Float32Array;
  /** Of a sample. */
  image: ImageSize;
  /** One per sample; −1 where it has none. */
  labels: Int32Array;
  classes: readonly string[];
  captions?: readonly string[] | undefined;
  name: string;
  licence: string;
  /** What latents of the autoencoder were multiplied by. */
  scale: number;
}

/** Latents for a file: all of them, or a function that gives them in parts, in their order. */
export type WritableLatents = Omit<LatentSet, 'latents'> & {
  latents: Float32Array | (() => AsyncIterable<Float32Array>);
};

/**
 * Writes latents in the form that {@link openLatents} reads.
 *
 * @param more for the metadata
 * @throws UserError where the file cannot be written
 */
export async function writeLatents(
  file: string,
  { latents, image, labels, classes, captions, name, licence, scale }: WritableLatents,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { channels, height, width } = image;
  const count = labels.length;
  await writeSafetensors(
    file,
    {
      latents: { shape: [count, channels, height, width], dtype: 'F32', data: latents },
      labels: { shape: [count], dtype: 'I32', data: labels },
    },
    {
      ...more,
      ...{ name, licence, scale: String(scale), classes: JSON.stringify(classes) },
      ...(captions && { captions: JSON.stringify(captions) }),
    },
  );
}

/**
 * What the latents of a file were multiplied by.
 * @throws UserError where the file does not say it
 */
export async function latentScale(file: string): Promise<number> {
  const opened = await openSafetensors(path.resolve(file));
  try {
    const { scale } = latentFacts(opened) ?? {};
    if (scale !== undefined) return scale;
    throw new UserError(
      `${file} does not say by what its latents were multiplied`,
      'Expected a file of `tarflow encode`, whose metadata have a scale',
    );
  } finally {
    await opened.close();
  }
}

/**
 * What a file says of the autoencoder of its latents; undefined where nothing.
 * @throws UserError for a scale that is none
 */
export function latentFacts({
  path: file,
  metadata,
}: Pick<SafetensorsFile, 'path' | 'metadata'>): LatentFacts | undefined {
  const { scale: text, autoencoder } = metadata;
  if (text === undefined && autoencoder === undefined) return undefined;
  const scale = text === undefined ? undefined : Number(text);
  if (scale !== undefined && !(Number.isFinite(scale) && scale > 0)) {
    throw new UserError(
      `The metadata of ${file} say scale is ${text}`,
      'Expected a number above 0',
    );
  }
  return {
    ...(scale !== undefined && { scale }),
    ...(autoencoder !== undefined && { autoencoder }),
  };
}

/** Rows of a tensor's first axis, of so many numbers each, in the order of their indices. */
async function rowsAt(
  file: SafetensorsFile,
  tensor: string,
  indices: ArrayLike<number>,
  size: number,
): Promise<Float32Array> {
  const values = new Float32Array(indices.length * size);
  await Promise.all(
    runsOf(indices).map(async ({ first, count, place }) => {
      const { data } = await file.read(tensor, { first, count });
      values.set(data, place * size);
    }),
  );
  return values;
}

/** Samples that lie one after the other in the file, and the place of the first in a batch. */
interface Run {
  first: number;
  count: number;
  place: number;
}

function runsOf(indices: ArrayLike<number>): Run[] {
  const runs: Run[] = [];
  for (let place = 0; place < indices.length; place++) {
    const first = indices[place] as number;
    const last = runs.at(-1);
    if (last && first === last.first + last.count) last.count++;
    else runs.push({ first, count: 1, place });
  }
  return runs;
}

function latentsShape({ path: file, tensors }: SafetensorsFile): [number, number, number, number] {
  const { latents } = tensors;
  const expected = 'Expected a tensor latents (n, channels, height, width) of F32, BF16 or F16';
  if (!latents) {
    throw new UserError(`${file} holds ${Object.keys(tensors).join(', ') || 'nothing'}`, expected);
  }
  const { shape, dtype } = latents;
  if (shape.length !== 4 || shape.includes(0) || !floats.includes(dtype)) {
    throw new UserError(`The latents of ${file} are (${shape.join(', ')}) of ${dtype}`, expected);
  }
  return shape as [number, number, number, number];
}

async function labelsOf(file: SafetensorsFile, length: number): Promise<Int32Array> {
  const found = file.tensors.labels;
  if (!found) return new Int32Array(length).fill(-1);
  const { shape, dtype } = found;
  if (shape.join() !== String(length) || !['I32', 'I64', 'U8'].includes(dtype)) {
    throw new UserError(
      `The labels of ${file.path} are (${shape.join(', ')}) of ${dtype}`,
      `Expected a whole number for each of the ${length} latents`,
    );
  }
  const { data } = await file.read('labels');
  return Int32Array.from(data);
}

/** What is known of the states of captions in a file; undefined where it has none. */
async function captionFacts(
  file: SafetensorsFile,
  length: number,
): Promise<CaptionFacts | undefined> {
  const { path: name, tensors, metadata } = file;
  const { text, empty_text: empty } = tensors;
  if (!text) return undefined;
  const [count, entries, width] = text.shape;
  if (text.shape.length !== 3 || count !== length || !floats.includes(text.dtype)) {
    throw new UserError(
      `The states of captions in ${name} are (${text.shape.join(', ')}) of ${text.dtype}`,
      `Expected text (${length}, entries, width) of F32, BF16 or F16`,
    );
  }
  if (!entries || !width || empty?.shape.join() !== [entries, width].join()) {
    throw new UserError(
      `${name} has ${empty ? `empty_text (${empty.shape.join(', ')})` : 'no empty_text'}`,
      `Expected the states of the empty caption, (${entries}, ${width})`,
    );
  }
  const { data } = await file.read('empty_text');
  const encoder = encoderOf(name, metadata.textEncoder);
  return { entries, width, empty: Float32Array.from(data), ...(encoder && { encoder }) };
}

function encoderOf(file: string, json: string | undefined): CaptionFacts['encoder'] {
  if (json === undefined) return undefined;
  const { name, weights } = (parsed(json) ?? {}) as Record<string, unknown>;
  if (typeof name === 'string' && typeof weights === 'string') return { name, weights };
  throw new UserError(
    `The metadata of ${file} say textEncoder is ${json}`,
    'Expected {"name": …, "weights": …}',
  );
}

function classesOf({ path: file, metadata }: SafetensorsFile, labels: Int32Array): string[] {
  const largest = labels.reduce((most, label) => Math.max(most, label), -1);
  if (metadata.classes === undefined) {
    return Array.from({ length: largest + 1 }, (_, label) => String(label));
  }
  const classes = parsed(metadata.classes);
  if (!Array.isArray(classes) || !classes.every((name) => typeof name === 'string')) {
    throw new UserError(
      `The metadata of ${file} say classes are ${metadata.classes}`,
      'Expected a JSON list of names',
    );
  }
  if (largest >= classes.length || labels.some((label) => label < -1)) {
    throw new UserError(
      `${file} names ${classes.length} classes and has labels up to ${largest}`,
      'Expected labels from 0, or -1 for none, each with a name',
    );
  }
  return classes;
}

function captionsOf(
  { path: file, metadata }: SafetensorsFile,
  length: number,
): string[] | undefined {
  if (metadata.captions === undefined) return undefined;
  const captions = parsed(metadata.captions);
  const fits = Array.isArray(captions) && captions.length === length;
  if (fits && captions.every((text) => typeof text === 'string')) return captions;
  throw new UserError(
    `The captions in the metadata of ${file} are not a text for each of ${length} latents`,
    'Expected a JSON list of as many texts',
  );
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
