import * as path from 'node:path';
import { compressImages } from '../compression/compressed-images.js';
import { pictureFileBytes } from '../compression/picture-file.js';
import { counted, UserError } from '../core/errors.js';
import { readBytes, writeAtomically } from '../core/files.js';
import { decodedImage, measuredImage } from '../data/encoded/image-file.js';
import type { ImageSize } from '../data/source.js';
import { weightsDigest } from '../evaluation/test-readings.js';
import { checkpointArgument, checkWritable, count } from './arguments.js';
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
        'the most pictures computed side by side: more are faster (default: 16)',
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
    const { names, levels, fileBytes } = await picturesOf(given, model.config.image);
    if (model.details.noise?.kind === 'gaussian') {
      console.error(
        `${checkpoint} was trained with Gaussian noise, and needs more bits for clean pictures than one ` +
          'trained with uniform noise (--set noise=uniform) would.',
      );
    }
    const count = names.length;
    const shown = { ...options, text: [] };
    const { label } = await conditionsInTurn(model, checkpoint, shown, count);
    const elapsed = stopwatch();
    const { borrowedBits, ...compressed } = await withProgress('Compressing', count, (onProgress) =>
      compressImages(model, levels, { label, batch, onProgress }),
    );
    const seconds = elapsed();
    const file = pictureFileBytes({
      model: { file: checkpoint, digest: weightsDigest(model) },
      engine: { name: engine.engine, version: engine.version },
      ...{ names, ...compressed },
    });
    await writeAtomically(out, file);
    const { length: bytes } = file;
    const bitsPerDimension = (8 * bytes) / levels.length;
    const begun = Math.ceil(borrowedBits / 8);
    return {
      json: {
        checkpoint,
        out,
        images: count,
        bytes,
        fileBytes,
        bitsPerDimension,
        borrowedBits,
        seconds,
        engine,
      },
      text:
        `${counted(count, 'picture')} in ${bytes} bytes (their files have ${fileBytes}), ` +
        `${bitsPerDimension.toFixed(3)} bits per dimension, ` +
        `${begun} bytes of which were needed to begin with. Decoded again to be sure; ` +
        `${seconds.toFixed(1)} s in all: ${out}`,
    };
  });
}

/**
 * The names and grey levels (count, channels, height, width) of pictures in files, and the files' bytes.
 * @throws UserError for one of which something would be lost, and for two of one name
 */
async function picturesOf(
  files: readonly string[],
  image: ImageSize,
): Promise<{ names: string[]; levels: Uint8Array; fileBytes: number }> {
  const names = files.map((file) => path.parse(file).name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new UserError(`Two pictures are called ${twice}`, 'Rename one, or leave it out');
  }
  const levels: Uint8Array[] = [];
  let fileBytes = 0;
  for (const name of files) {
    const encoded = { name, bytes: await readBytes(name) };
    fileBytes += encoded.bytes.length;
    const measured = await measuredImage(encoded);
    const size = ({ channels, height, width }: ImageSize) => `${width}×${height}, ${channels}`;
    const problem =
      size(measured.image) === size(image)
        ? measured.losses.map((loss) => `cannot be kept as it is: pictures ${loss}`)[0]
        : `has ${size(measured.image)} channels (width × height), and the model takes ${size(image)}`;
    if (problem) {
      const remedy = 'Pictures are compressed as they are: leave it out, or change it before';
      throw new UserError(`${name} ${problem}`, remedy);
    }
    levels.push(await decodedImage(encoded, image, 'exact'));
  }
  return { names, levels: Buffer.concat(levels), fileBytes };
}
