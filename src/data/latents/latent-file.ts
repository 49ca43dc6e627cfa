import * as path from 'node:path';
import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { jsonOf } from '../../formats/metadata.js';
import {
  floatShape,
  type SafetensorsFile,
  withSafetensors,
  writeSafetensors,
} from '../../formats/safetensors.js';
import { shared, sharedTexts, textAt } from '../shared-memory.js';
import {
  batchOf,
  type CaptionFacts,
  checkIndices,
  type DataSource,
  factsOf,
  type ImageSize,
  type LatentFacts,
  type LatentsDescription,
  type Split,
  sizeOf,
} from '../source.js';

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
  return withSafetensors(path.resolve(file), async (opened) => {
    const { metadata } = opened;
    const [length, channels, height, width] = latentsShape(opened);
    const labels = await labelsOf(opened, length);
    const captions = said(
      opened,
      'captions',
      z.array(z.string()).length(length),
      `a JSON list of a text for each of ${length} latents`,
    );
    return latentsSource({
      kind: 'latents',
      name: metadata.name ?? path.basename(file, '.safetensors'),
      split,
      image: { channels, height, width },
      classes: classesOf(opened, labels),
      labels: shared(labels),
      text: await captionFacts(opened, length),
      latents: latentFacts(opened),
      licence: metadata.licence ?? 'not stated',
      file: opened.path,
      ...(captions && { captions: sharedTexts(captions) }),
    });
  });
}

/** The source that a description is of. */
export function latentsSource(description: LatentsDescription): DataSource {
  const { image, labels, text, captions, file } = description;
  const shape = [labels.length, image.channels, image.height, image.width];
  return {
    ...factsOf(description),
    async read(indices) {
      checkIndices(this, indices);
      return withSafetensors(file, async (opened) => {
        if (latentsShape(opened).join() !== shape.join()) {
          throw new UserError(
            `The latents of ${file} have become others`,
            'Leave the file as it is while it is read',
          );
        }
        const values = await rowsAt(opened, 'latents', indices, sizeOf(image));
        const states = text && (await rowsAt(opened, 'text', indices, text.entries * text.width));
        return {
          ...batchOf(description, indices, values),
          ...(captions && { captions: Array.from(indices, (index) => textAt(captions, index)) }),
          ...(text && states && { text: { states, empty: text.empty } }),
        };
      });
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
      name,
      licence,
      scale: String(scale),
      classes: JSON.stringify(classes),
      ...(captions && { captions: JSON.stringify(captions) }),
    },
  );
}

/**
 * What the latents of a file were multiplied by.
 * @throws UserError where the file does not say it
 */
export async function latentScale(file: string): Promise<number> {
  const facts = await withSafetensors(path.resolve(file), async (opened) => latentFacts(opened));
  if (facts?.scale !== undefined) return facts.scale;
  throw new UserError(
    `${file} does not say by what its latents were multiplied`,
    'Expected a file of `tarflow encode`, whose metadata have a scale',
  );
}

/** A file by what it says of itself. */
type Described = Pick<SafetensorsFile, 'path' | 'metadata'>;

/**
 * What a file says of the autoencoder of its latents; undefined where nothing.
 * @throws UserError for a scale that is none
 */
export function latentFacts(file: Described): LatentFacts | undefined {
  const scale = said(file, 'scale', z.number().positive(), 'a number above 0');
  const { autoencoder } = file.metadata;
  if (scale === undefined && autoencoder === undefined) return undefined;
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
    const first = indices[place]!;
    const last = runs.at(-1);
    if (last && first === last.first + last.count) last.count++;
    else runs.push({ first, count: 1, place });
  }
  return runs;
}

function latentsShape(file: SafetensorsFile) {
  return floatShape(file, 'latents', ['n', 'channels', 'height', 'width']);
}

/** Far more classes than any set has; each has a row in a model's table. */
const mostClasses = 1_000_000;

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
  const wrong = data.findIndex((label) => label < -1 || label > mostClasses);
  if (wrong < 0) return Int32Array.from(data);
  throw new UserError(
    `${file.path} has the label ${data[wrong]} of latent ${wrong}`,
    `Expected −1 for none, or a class from 0 to ${mostClasses}`,
  );
}

/** What is known of the states of captions in a file; undefined where it has none. */
async function captionFacts(
  file: SafetensorsFile,
  length: number,
): Promise<CaptionFacts | undefined> {
  const { path: name, tensors } = file;
  const { text, empty_text: empty } = tensors;
  if (!text) return undefined;
  const [, entries, width] = floatShape(
    file,
    'text',
    [length, 'entries', 'width'],
    'states of captions',
  );
  if (empty?.shape.join() !== [entries, width].join()) {
    throw new UserError(
      `${name} has ${empty ? `empty_text (${empty.shape.join(', ')})` : 'no empty_text'}`,
      `Expected the states of the empty caption, (${entries}, ${width})`,
    );
  }
  const { data } = await file.read('empty_text');
  const encoder = said(
    file,
    'textEncoder',
    z.object({ name: z.string(), weights: z.string() }),
    '{"name": …, "weights": …}',
  );
  return { entries, width, empty: Float32Array.from(data), encoder };
}

/**
 * What a file says in JSON under a name of its metadata; undefined where it says nothing.
 * @throws UserError where it is of another form
 */
function said<T>(
  { path: file, metadata }: Described,
  name: string,
  schema: z.ZodType<T>,
  expected: string,
): T | undefined {
  const text = metadata[name];
  const value = jsonOf(schema, text);
  if (value !== undefined || text === undefined) return value;
  const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  throw new UserError(`The metadata '${name}' of ${file} is ${shown}`, `Expected ${expected}`);
}

function classesOf(file: SafetensorsFile, labels: Int32Array): string[] {
  const largest = labels.reduce((most, label) => Math.max(most, label), -1);
  const classes = said(file, 'classes', z.array(z.string()), 'a JSON list of names');
  if (!classes) return Array.from({ length: largest + 1 }, (_, label) => String(label));
  if (largest < classes.length && labels.every((label) => label >= -1)) return classes;
  throw new UserError(
    `${file.path} names ${classes.length} classes and has labels up to ${largest}`,
    'Expected labels from 0, or -1 for none, each with a name',
  );
}
