import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { writeCaptionStates } from '../conditions/text/captioned-latents.js';
import { openTextEncoder } from '../conditions/text/named-encoder.js';
import { Interruption, UserError } from '../core/errors.js';
import { type DataSource, latentScale, type WritableLatents, writeLatents } from '../data/index.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import type { CaptionEncoder } from '../pretrained/caption-encoder.js';
import {
  type EncodeDatasetOptions,
  type EncodedImage,
  encodeDataset,
  encodedWhileWritten,
} from '../sampling/encode-dataset.js';
import { untilInterrupted } from '../show/interrupt.js';
import { checkUsed } from './arguments.js';
import { withProgress } from './command.js';

/** Enough for the names of all emoji, in word pieces. */
export const usualEntries = 20;

/**
 * The scale of the latents of a split: what is given, or what the autoencoder says; of images that were
 * not trained on that of the training images' file, which lies beside.
 *
 * @returns undefined where it is to be measured on these images, which were trained on
 * @throws UserError where a scale cannot be told
 */
export async function splitScale(
  split: string,
  out: string,
  known: number | undefined,
): Promise<number | undefined> {
  if (known !== undefined || split.startsWith('train')) return known;
  const training = path.join(path.dirname(out), 'train.safetensors');
  if (existsSync(training)) return latentScale(training);
  throw new UserError(
    `Latents of the split '${split}' came without the scale of those that a flow is trained on`,
    `Encode --split train first, into ${training}, or give --scale`,
  );
}

/**
 * Encodes images into a file; what is interrupted leaves none.
 *
 * @param captioned whether the images have captions, which go along
 * @param about for the file's metadata
 */
export function encodeToFile(
  model: LoadedModel,
  data: DataSource,
  {
    images,
    draw,
    scale,
  }: Pick<EncodeDatasetOptions, 'draw' | 'scale'> & { images: EncodedImage[] },
  captioned: boolean,
  out: string,
  about: Record<string, string>,
): Promise<WritableLatents> {
  return withProgress('Encoding', images.length, (onProgress) =>
    untilInterrupted(async (signal) => {
      const how = { images, draw, onProgress, signal };
      // A scale that is to be measured, and captions, take all images first.
      const set =
        scale === undefined || captioned
          ? await encodeDataset(model, data, { ...how, scale })
          : encodedWhileWritten(model, data, { ...how, scale });
      await writeLatents(out, set, about);
      return set;
    }),
  );
}

/** What reads captions, and into how many entries. */
export interface Captions {
  encoder: CaptionEncoder;
  entries: number;
}

/**
 * What reads the captions of a data set, which has to have some, tried on the empty one before images
 * are encoded; undefined where none was asked for.
 */
export async function captionsOf(
  { textEncoder: asked, entries: given }: { textEncoder?: string; entries?: number },
  captioned: boolean,
  name: string,
): Promise<Captions | undefined> {
  checkUsed({ entries: given }, asked === undefined && 'without --text-encoder');
  if (asked === undefined) return undefined;
  if (!captioned) {
    throw new UserError(
      `${name} has no captions`,
      'Leave --text-encoder out, or choose other data',
    );
  }
  const encoder = await openTextEncoder(asked);
  try {
    const entries = given ?? (asked.startsWith('states:') ? encoder.entries : usualEntries);
    (await encoder.encode([''], { entries })).dispose();
    return { encoder, entries };
  } catch (error) {
    encoder.dispose();
    throw error;
  }
}

/** Writes the states of captions into a file of latents, which stays as it is where that fails. */
export async function addStates(
  file: string,
  captions: readonly string[],
  { encoder, entries }: Captions,
): Promise<void> {
  const captioned = `${file}.captioned`;
  try {
    await untilInterrupted((signal) =>
      writeCaptionStates({ from: file, to: captioned, captions, encoder, entries, signal }),
    );
    await fs.rename(captioned, file);
  } catch (error) {
    if (!(error instanceof Interruption)) throw error;
    throw new Interruption(
      `This was stopped while captions were read: ${file} has the latents, without their states`,
      'Do the same again to have both',
    );
  } finally {
    await fs.rm(captioned, { force: true });
  }
}
