import { textEncoderNames } from '../conditions/text/named-encoder.js';
import { counted } from '../core/errors.js';
import { openDataset, type Split } from '../data/index.js';
import { ability } from '../flow/model.js';
import { fileDigest } from '../formats/tensor-file.js';
import { checkpointArgument, checkTensorFile, count, wholeNumber } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel } from './command.js';
import { addDataOptions, dataName, givenScale, scaleForms } from './data-options.js';
import { addStates, captionsOf, encodeToFile, splitScale, usualEntries } from './encode-to-file.js';
import { type Choice, choiceText, imagesToEncode, pattern } from './encoded-images.js';

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
    const set = await encodeToFile(model, data, how, captioned, out, about);
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
