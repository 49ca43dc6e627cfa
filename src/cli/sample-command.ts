import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { counted, UserError } from '../core/errors.js';
import { weightsDigest } from '../evaluation/test-readings.js';
import { unlessDamaged } from '../formats/kept-file.js';
import { readSafetensors } from '../formats/safetensors.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { type Part, samplesOfPart } from '../sampling/parts.js';
import { checkPriorTemperature } from '../sampling/sample.js';
import { strategyNames } from '../sampling/solvers/strategies.js';
import {
  checkpointArgument,
  count,
  imageSize,
  modeOption,
  number,
  precisionOption,
  wholeNumber,
} from './arguments.js';
import { defineCommand, type Outcome, withModel } from './command.js';
import { addConditionOptions, addGuidanceOptions } from './condition-options.js';
import { batchSize, type DrawOptions, drawnSamples } from './drawn-samples.js';
import {
  checkDrawable,
  checkImagesWritable,
  outForms,
  writeImages,
  writesFolder,
} from './image-files.js';
import { checkNumberOfParts, drawingOf, partFile, partOption } from './sample-parts.js';

interface SampleOptions extends DrawOptions {
  size?: { height: number; width: number };
  columns?: number;
  part?: Part;
  out: string;
  json: boolean;
}

/** `tarflow sample`: images from a checkpoint, as a grid in a PNG file. */
export const sample = defineCommand({
  name: 'sample',
  description: 'draw images from a checkpoint, into a picture or as numbers',
  options: (command) =>
    addGuidanceOptions(
      addConditionOptions(
        command
          .addArgument(checkpointArgument())
          .requiredOption('--out <path>', outForms)
          .option('--count <n>', 'how many images', count, 16),
      ),
    )
      .option(
        '--plan <which>',
        "auto for the plan beside the checkpoint, a plan's file, or a published strategy " +
          `(${strategyNames().join(', ')}); default: sequential`,
      )
      .addOption(modeOption())
      .addOption(precisionOption())
      .option('--denoise [multiplier]', 'one denoising step for the noise of training', number)
      .option('--sigma <sigma>', 'of that noise, for published files, which do not say it', number)
      .option(
        '--prior-temperature <t>',
        'factor on the initial noise; below 1, samples vary less (default: 1). --temperature is that of attention',
        number,
      )
      .option('--seed <n>', 'same seed, same images', wholeNumber, 0)
      .option(
        '--size <height>x<width>',
        'size of the images or latents of a STARFlow; may differ from that of its training, e.g. 16x32',
        imageSize,
      )
      .option('--columns <n>', 'images in a row (default: a square)', count)
      .addOption(
        partOption('draw only this part of the samples, e.g. 3/8; --out is a folder for all parts'),
      ),
  help: `\
Examples:
  $ tarflow sample runs/density/checkpoint.safetensors --count 64 --out grid.png
  $ tarflow sample runs/conditional/checkpoint.safetensors --count 64 --label 3 \\
      --guidance 1.5 --seed 7 --out grid.png
  $ tarflow sample runs/conditional/checkpoint.safetensors --count 30 --columns 3 \\
      --label Trouser,Bag,Sneaker --guidance 1 --annealed --denoise --out three.png
  $ tarflow sample runs/emoji/checkpoint.safetensors --text "red heart" --text "crying cat" \\
      --guidance 2 --prior-temperature 0.8 --out two.safetensors
  $ tarflow decode runs/vae/checkpoint.safetensors --in two.safetensors --out two.png
  $ tarflow sample runs/density/checkpoint.safetensors --guidance 0.2 --temperature 0.3 \\
      --annealed --out sharper.png
  $ tarflow sample runs/density/checkpoint.safetensors --count 1 --plan auto --out fast.png
  $ tarflow sample runs/density/checkpoint.safetensors --count 50000 --part 3/8 --out samples/
  $ tarflow distance samples/ fashion-mnist/train`,
  run,
});

async function run(checkpoint: string, options: SampleOptions): Promise<Outcome> {
  const { count, columns, size, part } = options;
  if (part && !writesFolder(options.out)) {
    throw new UserError(
      `--part came for --out ${options.out}`,
      'Expected a folder, which all parts share',
    );
  }
  if (part) await checkNumberOfParts(options.out, part);
  const out = part ? partFile(options.out, part) : options.out;
  if (columns !== undefined && path.extname(out) !== '.png') {
    throw new UserError(`--columns came for ${out}, which is no grid`, 'Leave it out');
  }
  checkPriorTemperature(options.priorTemperature ?? 1);
  await checkImagesWritable(out);
  return withModel(
    checkpoint,
    async ({ model, engine, own }) => {
      checkDrawable(model.config.image, out, `Samples of ${checkpoint}`);
      const drawing = part && drawingDigest(model, options);
      const range = part && samplesOfPart(count, batchSize, part);
      // What is no whole file is drawn anew.
      const drawnBefore = () => readSafetensors(out).then(() => drawingOf(out), unlessDamaged);
      const there = part && existsSync(out) && (await drawnBefore());
      if (there && there === drawing) return { json: { out, ...range }, text: `${out} is there` };
      if (there) {
        const problem = `${out} is there, of other weights or options`;
        throw new UserError(problem, 'Delete it, or give another folder as --out');
      }
      const drawn = await drawnSamples(model, checkpoint, { ...options, ...range }, own);
      const { images, about: how, ...went } = drawn;
      const about = { ...how, ...(part && { part: { ...part, ...range, drawing } }) };
      await writeImages(images, out, { columns, latents: model.details.latents, about });
      return {
        json: { ...about, out, images: images.shape[0], ...went, engine },
        text: `${counted(images.shape[0], 'sample')} in ${went.seconds.toFixed(1)} s: ${out}`,
      };
    },
    size ? { imageSize: size } : {},
  );
}

/** Tells apart what parts of samples depend on: the weights, and all options but the part. */
function drawingDigest(model: LoadedModel, { part, out, json, ...options }: SampleOptions): string {
  const { config } = model;
  const all = JSON.stringify([config, weightsDigest(model), options, part?.of]);
  return createHash('sha256').update(all).digest('hex').slice(0, 16);
}
