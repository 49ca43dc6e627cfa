import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { writeCaptionStates } from '../conditions/text/captioned-latents.js';
import { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
import { Interruption, UserError } from '../core/errors.js';
import {
  type DataSource,
  latentScale,
  openDataset,
  type Split,
  type WritableLatents,
  writeLatents,
} from '../data/index.js';
import { ability } from '../flow/model.js';
import { fileDigest } from '../formats/tensor-file.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import type { CaptionEncoder } from '../pretrained/caption-encoder.js';
import {
  type EncodeDatasetOptions,
  type EncodedImage,
  encodeDataset,
  encodedWhileWritten,
} from '../sampling/encode-dataset.js';
import { untilInterrupted } from '../show/interrupt.js';
import { checkpointArgument, checkTensorFile, count, counted, wholeNumber } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel, withProgress } from './command.js';
import { addDataOptions, dataName, givenScale, scaleForms } from './data-options.js';
import { type Choice, choiceText, imagesToEncode, pattern } from './encoded-images.js';

/** Enough for the names of all emoji, in word pieces. */
const usualEntries = 20;

interface EncodeOptions extends Choice {
  data?: string;
  split: Split;
  out: string;
  scale?: string;
  draw?: number;
  textEncoder?: string;
  entries?: number;
}

/** `tarflow encode`: a data set as latents, for flows to be trained on. */
export const encode = defineCommand({
  name: 'encode',
  description: 'write the latents of a data set, for flows to be trained on',
  options: (command) =>
    addDataOptions(
      command
        .addArgument(checkpointArgument('an autoencoder: '))
        .requiredOption(
          '--out <file>',
          'a .safetensors file; a folder of them is data latents:FOLDER',
        ),
      'train',
    )
      .option('--count <n>', 'only the first images (default: all)', count)
      .option('--except <pattern>', 'leave out images whose "class: caption" matches', pattern)
      .option('--mirror', 'each image once more, left and right exchanged', false)
      .option('--mirror-except <pattern>', 'but not where "class: caption" matches', pattern)
      .option('--scale <scale>', `what latents are multiplied by: ${scaleForms}`)
      .option('--draw <seed>', 'draw from the posteriors (default: take their means)', wholeNumber)
      .option(
        '--text-encoder <name>',
        `write the states of captions, too, for flows that read them: ${textEncoderNames.join(', ')}`,
      )
      .option(
        '--entries <n>',
        `states kept of each caption, as many as the flow will read (default: ${usualEntries}, or those of states:FILE)`,
        count,
      ),
  help: `\
Latents are scaled to unit variance. The scale stands in the file: that of the autoencoder where it says
one, or else it is measured on the images that were trained on; for another split it is read from
train.safetensors in the same folder. Labels and captions go along. Mirrored images come after the
others. A pattern is a regular expression, in which capitals do not matter. A flow that goes on with other
latents needs those of the same scale: --scale with the file of the first ones.

Examples:
  $ tarflow encode runs/vae/checkpoint.safetensors --out latents/train.safetensors
  $ tarflow encode runs/vae/checkpoint.safetensors --split validation \\
      --out latents/validation.safetensors
  $ tarflow encode runs/vae/checkpoint.safetensors --text-encoder minilm --out latents/train.safetensors
  $ tarflow encode runs/vae/checkpoint.safetensors --mirror --mirror-except "^(flags|symbols):|left|right" \\
      --out latents/train.safetensors
  $ tarflow encode sd-vae-ft-ema.safetensors --data folder:photographs --out latents/train.safetensors`,
  run,
});

async function run(checkpoint: string, options: EncodeOptions): Promise<Outcome> {
  await checkTensorFile(options.out);
  return withModel(checkpoint, async ({ model, own }) => {
    const { out, split } = options;
    const known = ability(model.family, 'autoencoder').scale(model.config);
    const name = dataName(checkpoint, model, options.data);
    const data = await openDataset(name, split, { image: model.config.image });
    const scale = await splitScale(split, out, (await givenScale(options.scale)) ?? known);
    const captioned = (await data.read([0])).captions !== undefined;
    const captions = await captionsOf(options, captioned, name);
    own(captions?.encoder);
    const images = await imagesToEncode(data, options);
    const elapsed = stopwatch();
    const about = { autoencoder: await fileDigest(checkpoint), ...choiceText(options) };
    const how = { images, draw: options.draw, scale };
    const set = await write(model, data, how, captioned, out, about);
    if (captions && set.captions) await addStates(out, set.captions, captions);
    const seconds = elapsed();
    const { channels, height, width } = set.image;
    const mirrored = images.filter((image) => image.mirrored).length;
    return {
      json: {
        checkpoint,
        out,
        data: name,
        split,
        images: images.length,
        mirrored,
        image: set.image,
        scale: set.scale,
        seconds,
      },
      text:
        `${counted(images.length, 'latent')} of ${channels}×${height}×${width}` +
        `${mirrored > 0 ? `, ${mirrored} of them mirrored` : ''}, multiplied by ` +
        `${set.scale.toFixed(5)}, in ${seconds.toFixed(1)} s: ${out}`,
    };
  });
}

/**
 * The scale of the latents of a split: what is given, or what the autoencoder says; of images that were
 * not trained on that of the training images' file, which lies beside.
 *
 * @returns undefined where it is to be measured on these images, which were trained on
 * @throws UserError where a scale cannot be told
 */
async function splitScale(
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
function write(
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
interface Captions {
  encoder: CaptionEncoder;
  entries: number;
}

/**
 * What reads the captions of a data set, which has to have some, tried on the empty one before images
 * are encoded; undefined where none was asked for.
 */
async function captionsOf(
  { textEncoder: asked, entries: given }: EncodeOptions,
  captioned: boolean,
  name: string,
): Promise<Captions | undefined> {
  if (asked === undefined) {
    if (given === undefined) return undefined;
    throw new UserError('--entries came without --text-encoder', 'Add it, or leave --entries out');
  }
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
async function addStates(
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
