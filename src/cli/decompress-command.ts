import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { decompressImages } from '../compression/compressed-images.js';
import { readPictureFile } from '../compression/picture-file.js';
import { startEngine } from '../core/engine.js';
import { counted, UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import { toUnitRange } from '../data/index.js';
import { weightsDigest } from '../evaluation/test-readings.js';
import { checkpointFile } from '../training/checkpoint.js';
import { checkWritable } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel, withProgress } from './command.js';
import { writeImages } from './image-files.js';

interface DecompressOptions {
  out: string;
  model?: string;
}

/** `tarflow decompress`: the pictures of a file that `tarflow compress` wrote. */
export const decompress = defineCommand({
  name: 'decompress',
  description: 'give the pictures back that were compressed by a flow',
  options: (command) =>
    command
      .argument('<file>', 'what `tarflow compress` wrote')
      .requiredOption('--out <folder>', 'a new folder for the pictures, which become PNG files')
      .option(
        '--model <checkpoint>',
        'the model that compressed them (default: where the file says)',
        checkpointFile,
      ),
  help: `\
The engine is that of the file. Where it computes otherwise than when the pictures were compressed, on
another processor for example, nothing is written.

Examples:
  $ tarflow decompress pictures.tflow --out pictures
  $ tarflow decompress pictures.tflow --model models/density.safetensors --out pictures`,
  run,
});

async function run(file: string, { out, model: asked }: DecompressOptions): Promise<Outcome> {
  const pictures = await readPictureFile(file);
  const { names, model: written, engine: needed } = pictures;
  const folder = path.resolve(out);
  await checkWritable(path.join(folder, 'image.png'));
  if ((await fs.readdir(folder).catch(() => [])).length > 0) {
    throw new UserError(`The folder ${out} is not empty`, 'Give a new one as --out');
  }
  const { version } = await startEngine({ engine: needed.name });
  if (version !== needed.version) {
    console.error(
      `${file} was written by ${needed.version}, and this is ${version}, which may compute otherwise.`,
    );
  }
  const checkpoint = asked ?? written.file;
  await fs.access(checkpoint).catch(() => {
    throw new UserError(
      asked === undefined
        ? `${file} was compressed by the model ${checkpoint}, which is not here`
        : `--model ${asked} cannot be read`,
      `Say where ${written.file} is: --model CHECKPOINT`,
    );
  });
  return withModel(checkpoint, async ({ model, engine, own }) => {
    const digest = weightsDigest(model);
    if (digest !== written.digest) {
      throw new UserError(
        `${file} was compressed by model ${written.digest} (${written.file}), and ${checkpoint} is ${digest}`,
        'Give that model as --model',
      );
    }
    const elapsed = stopwatch();
    const levels = await withProgress('Decompressing', names.length, (onProgress) =>
      decompressImages(model, pictures, names.length, onProgress),
    );
    const seconds = elapsed();
    const { channels, height, width } = model.config.image;
    const shape: [number, number, number, number] = [names.length, channels, height, width];
    const images = own(tf.tensor4d(toUnitRange(levels), shape));
    await writeImages(images, folder + path.sep, { names });
    return {
      json: { file, checkpoint, out, images: names.length, seconds, engine },
      text: `${counted(names.length, 'picture')} in ${seconds.toFixed(1)} s, as they were: ${out}`,
    };
  });
}
