import * as path from 'node:path';
import { compressImages } from '../compression/compressed-images.js';
import { pictureFileBytes } from '../compression/picture-file.js';
import { UserError } from '../core/errors.js';
import { readBytes, writeAtomically } from '../core/files.js';
import { decodedImage, loadedSharp, measuredImage } from '../data/encoded/image-file.js';
import type { ImageSize } from '../data/source.js';
import { weightsDigest } from '../evaluation/test-readings.js';
import { dimensions } from '../flow/model.js';
import { checkpointArgument, checkWritable, count, counted } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel, withProgress } from './command.js';
import { conditionsInTurn } from './condition-options.js';

interface CompressOptions {
  out: string;
  label?: string;
  batch?: number;
}

/** `tarflow compress`: pictures without loss in few bytes. */
export const compress = defineCommand({
  name: 'compress',
  description: 'compress pictures without loss, by the density of a flow',
  options: (command) =>
    command
      .addArgument(checkpointArgument())
      .argument('<pictures...>', "files of pictures of the model's size")
      .requiredOption('--out <file>', 'the file to write, e.g. pictures.tflow')
      .option(
        '--label <label>',
        'class number or name of the pictures; several with commas take turns (default: none)',
      )
      .option(
        '--batch <n>',
        'pictures computed side by side: more are faster, and take more bytes (default: by their number, up to 16)',
        count,
      ),
  help: `\
\`tarflow decompress\` gives all pixels back, with eight bits a channel, where the engine and the processor
compute the same as here. It needs the model, too. What else a file holds, as EXIF, is not kept.

Examples:
  $ tarflow compress runs/density mypics/*.png --out pictures.tflow
  $ tarflow compress runs/mypics mypics/cat/*.png --label cat --out cats.tflow`,
  run,
});

async function run(
  checkpoint: string,
  given: string[],
  { out, batch, ...options }: CompressOptions,
): Promise<Outcome> {
  await checkWritable(out);
  return withModel(checkpoint, async ({ model, engine }) => {
    const { config, details } = model;
    if (details.noise?.kind !== 'uniform') {
      console.error(
        `${checkpoint} was not trained with uniform noise: by a model that was, pictures take fewer bytes.`,
      );
    }
    const { names, levels } = await picturesOf(given, config.image);
    const { label } = await conditionsInTurn(
      model,
      checkpoint,
      { ...options, text: [] },
      names.length,
    );
    const elapsed = stopwatch();
    const { borrowedBits, ...compressed } = await withProgress(
      'Compressing',
      names.length,
      (onProgress) => compressImages(model, levels, { label, batch, onProgress }),
    );
    const seconds = elapsed();
    const bytes = pictureFileBytes({
      model: { file: checkpoint, digest: weightsDigest(model) },
      engine: { name: engine.engine, version: engine.version },
      image: config.image,
      names,
      ...compressed,
    });
    await writeAtomically(out, bytes);
    const { code, lent } = compressed;
    const bitsPerDimension = (8 * code.length) / (names.length * dimensions(config));
    return {
      json: {
        checkpoint,
        out,
        images: names.length,
        bytes: bytes.length,
        codeBytes: code.length,
        bitsPerDimension,
        lent,
        borrowedBits,
        batch: compressed.batch,
        seconds,
        engine,
      },
      text:
        `${counted(names.length, 'picture')} in ${bytes.length} bytes, ${bitsPerDimension.toFixed(3)} bits per ` +
        `dimension; ${lent.images} of them by themselves, as bits to begin with. Decoded again to be sure; ` +
        `${seconds.toFixed(1)} s in all: ${out}`,
    };
  });
}

/** The names and grey levels (count, channels, height, width) of pictures in files. */
async function picturesOf(
  files: readonly string[],
  image: ImageSize,
): Promise<{ names: string[]; levels: Uint8Array }> {
  const names = files.map((file) => path.parse(file).name);
  const twice = names.findIndex((name, i) => names.indexOf(name) < i);
  if (twice >= 0) {
    throw new UserError(`Two pictures are called ${names[twice]}`, 'Rename one, or leave it out');
  }
  const levels: Uint8Array[] = [];
  for (const file of files) levels.push(await exactLevels(file, image));
  return { names, levels: Buffer.concat(levels) };
}

/**
 * The grey levels of a picture that has no more than the model reads.
 * @throws UserError for a picture of which something would be lost
 */
async function exactLevels(file: string, image: ImageSize): Promise<Uint8Array> {
  const encoded = { name: file, bytes: await readBytes(file) };
  const measured = await measuredImage(encoded);
  const { depth, pages = 1 } = await loadedSharp()(encoded.bytes).metadata();
  const text = ({ channels, height, width }: ImageSize) => `${width}×${height}, ${channels}`;
  const problem =
    text(measured.image) !== text(image)
      ? `${text(measured.image)} channels (width × height), and the model takes ${text(image)}`
      : measured.transparent
        ? 'transparent pixels'
        : depth !== 'uchar'
          ? 'more than eight bits a channel'
          : pages > 1 && `${pages} pages`;
  if (!problem) return decodedImage(encoded, image, 'exact');
  throw new UserError(
    `${file} has ${problem}`,
    'Pictures are compressed as they are: leave it out, or change it before',
  );
}
