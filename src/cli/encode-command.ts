import * as fs from 'node:fs/promises';
import type { Command } from 'commander';
import type { CaptionEncoder } from '../conditions/text/caption-encoder.js';
import { writeCaptionStates } from '../conditions/text/captioned-latents.js';
import { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
import { startEngine } from '../core/engine.js';
import { Interruption, UserError } from '../core/errors.js';
import {
  type DataSource,
  datasetForms,
  datasetNames,
  openDataset,
  type Split,
  type WritableLatents,
  writeLatents,
} from '../data/index.js';
import { ability, disposeModel } from '../flow/flow.js';
import type { Model } from '../flow/model.js';
import { fileDigest } from '../formats/tensor-file.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import {
  type EncodeDatasetOptions,
  type EncodedImage,
  encodeDataset,
  encodedWhileWritten,
} from '../sampling/encode-dataset.js';
import { untilInterrupted } from '../show/interrupt.js';
import { startProgress } from '../show/progress.js';
import { checkTensorFile, count, counted, wholeNumber } from './arguments.js';
import { choiceText, imagesToEncode, pattern } from './encoded-images.js';
import { givenScale, scaleForms, splitScale } from './latent-options.js';
import { dataName } from './measured-split.js';

/** Enough for the names of all emoji, in word pieces. */
const usualEntries = 20;

interface EncodeOptions {
  data?: string;
  split: string;
  out: string;
  count?: number;
  except?: RegExp;
  mirror: boolean;
  mirrorExcept?: RegExp;
  scale?: string;
  draw?: number;
  textEncoder?: string;
  entries?: number;
  json: boolean;
}

/** `tarflow encode`: a data set as latents, for flows to be trained on. */
export function addEncode(program: Command): void {
  program
    .command('encode')
    .description('write the latents of a data set, for flows to be trained on')
    .argument('<checkpoint>', 'an autoencoder: a safetensors file, of ours or published')
    .requiredOption('--out <file>', 'a .safetensors file; a folder of them is data latents:FOLDER')
    .option(
      '--data <name>',
      `${[...datasetNames, ...datasetForms].join(' or ')} (default: what it was trained on)`,
    )
    .option('--split <name>', 'train, validation, train+validation or test', 'train')
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
    )
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
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
    )
    .action(run);
}

async function run(checkpoint: string, options: EncodeOptions): Promise<void> {
  const { out, split } = options;
  await checkTensorFile(out);
  await startEngine();
  const model = await loadCheckpoint(checkpoint);
  let captions: Captions | undefined;
  try {
    const known = ability(model.family, 'autoencoder').scale(model.config);
    const name = dataName(checkpoint, model, options.data);
    const data = await openDataset(name, split as Split, { image: model.config.image });
    const scale = await splitScale(split, out, (await givenScale(options.scale)) ?? known);
    const captioned = (await data.read([0])).captions !== undefined;
    captions = await captionsOf(options, captioned, name);
    const images = await imagesToEncode(data, options);
    const begun = performance.now();
    const set = await write(model, data, {
      ...{ out, scale, captioned, autoencoder: await fileDigest(checkpoint) },
      ...{ images, draw: options.draw, choice: choiceText(options) },
    });
    const given = captions;
    if (given) {
      await untilInterrupted((signal) =>
        addStates(out, set.captions as readonly string[], given, signal),
      ).catch((error: unknown) => {
        if (!(error instanceof Interruption)) throw error;
        throw new Interruption(
          `This was stopped while captions were read: ${out} has the latents, without their states`,
          'Do the same again to have both',
        );
      });
    }
    const { channels, height, width } = set.image;
    const seconds = (performance.now() - begun) / 1000;
    const mirrored = images.filter((image) => image.mirrored).length;
    const outcome = { checkpoint, out, data: name, split, images: images.length, mirrored };
    if (options.json) {
      console.log(
        JSON.stringify({ ...outcome, image: set.image, scale: set.scale, seconds }, null, 2),
      );
    } else {
      console.log(
        `${counted(images.length, 'latent')} of ${channels}×${height}×${width}` +
          `${mirrored > 0 ? `, ${mirrored} of them mirrored` : ''}, multiplied by ` +
          `${set.scale.toFixed(5)}, in ${seconds.toFixed(1)} s: ${out}`,
      );
    }
  } finally {
    captions?.encoder.dispose();
    disposeModel(model);
  }
}

interface Writing {
  out: string;
  /** Undefined where it is to be measured. */
  scale: number | undefined;
  captioned: boolean;
  /** The SHA-256 of the autoencoder's file. */
  autoencoder: string;
  images: readonly EncodedImage[];
  draw: number | undefined;
  /** What was left out and what was mirrored, for the metadata. */
  choice: Readonly<Record<string, string>>;
}

/** Encodes images into a file; what is interrupted leaves none. */
async function write(
  model: Model,
  data: DataSource,
  { out, scale, captioned, autoencoder, images, draw, choice }: Writing,
): Promise<WritableLatents> {
  const progress = startProgress({ title: 'Encoding', total: images.length, unit: 'images' });
  const onProgress = (share: number) => progress.update(Math.round(share * images.length));
  return untilInterrupted(async (signal) => {
    const how: EncodeDatasetOptions = { images, draw, onProgress, signal };
    // A scale that is to be measured, and captions, take all images first.
    const set =
      scale === undefined || captioned
        ? await encodeDataset(model, data, { ...how, scale })
        : encodedWhileWritten(model, data, { ...how, scale });
    await writeLatents(out, set, { autoencoder, ...choice });
    return set;
  }).finally(() => progress.finish());
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
  signal: AbortSignal,
): Promise<void> {
  const captioned = `${file}.captioned`;
  try {
    await writeCaptionStates({ from: file, to: captioned, captions, encoder, entries, signal });
    await fs.rename(captioned, file);
  } finally {
    await fs.rm(captioned, { force: true });
  }
}
