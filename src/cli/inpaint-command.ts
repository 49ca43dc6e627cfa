import * as path from 'node:path';
import { counted } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { inpaint as drawIn } from '../sampling/inpaint.js';
import { checkMemory, checkpointArgument, count, wholeNumber } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel, withProgress } from './command.js';
import {
  checkImagesWritable,
  imagesToEdit,
  outForms,
  readImages,
  writeImages,
} from './image-files.js';

interface InpaintOptions {
  label?: string;
  mask: string;
  out: string;
  count: number;
  steps: number;
  seed: number;
}

/** `tarflow inpaint`: what a mask covers, drawn anew. */
export const inpaint = defineCommand({
  name: 'inpaint',
  description: 'draw what a mask covers, given the rest of an image',
  options: (command) =>
    command
      .addArgument(checkpointArgument())
      .argument('<image>', "a picture of the model's size, or a .safetensors file of one image")
      .requiredOption(
        '--mask <file>',
        'a picture of that size: what is to be drawn is white; see below',
      )
      .requiredOption('--out <path>', outForms)
      .option('--label <label>', 'what the image shows, class number or name (default: none)')
      .option('--count <n>', 'how many pictures, each by a chain of its own', count, 4)
      .option('--steps <n>', 'proposals of a chain to adapt, and as many after that', count, 40)
      .option('--seed <n>', 'same seed, same pictures', wholeNumber, 0),
  help: `\
A pixel is drawn where the mask, in grey, is 128 of 255 or lighter; what is transparent counts as white.
Known pixels stay as they are. Where the mask comes last in the order in which every block reads, pictures
are exact draws. Otherwise what is masked is drawn by Hamiltonian Monte Carlo on log p(image), which begins
with samples of the model that are like what is known; the share of proposals accepted is told, and about
0.65 is good. A grid shows the image, the mask in grey, and the pictures. Pictures of models trained with
Gaussian noise are denoised.

Examples:
  $ tarflow inpaint runs/mypics photo.png --mask mask.png --out drawn.png
  $ tarflow inpaint results/checkpoints/fashion-mnist-conditional-8x2.safetensors shirt.png \\
      --mask right-half.png --label Shirt --count 8 --seed 7 --out shirts/`,
  run,
});

async function run(checkpoint: string, file: string, options: InpaintOptions): Promise<Outcome> {
  const { out, mask: maskFile, count: pictures, steps, seed, label } = options;
  await checkImagesWritable(out);
  return withModel(checkpoint, async (loaded) => {
    const { model, engine, own } = loaded;
    checkMemory(pictures, model.config.image);
    const { images: image, sigma } = await imagesToEdit(loaded, checkpoint, [file], out);
    const maskSize = { ...model.config.image, channels: 1 };
    const mask = own((await readImages([maskFile], maskSize)).images);
    const elapsed = stopwatch();
    const { images, acceptance, logProb } = await withProgress('Drawing', pictures, (onProgress) =>
      drawIn(model, image, mask, {
        ...{ count: pictures, steps, seed, sigma, label, onProgress },
      }),
    );
    own(images);
    const seconds = elapsed();
    // Grey where the mask is.
    const masked = () => tf.where(tf.greater(mask, 0), tf.zerosLike(image), image);
    const shown =
      path.extname(out) === '.png'
        ? own(tidy(() => tf.concat([image, masked(), images], 0)))
        : images;
    const about = { checkpoint, image: file, mask: maskFile, seed, label, sigma };
    await writeImages(shown, out, { columns: pictures + 2, about });
    const shares = acceptance?.map((share) => share.toFixed(2)).join(', ');
    const how = shares === undefined ? 'exact draws' : `proposals accepted ${shares}`;
    return {
      json: { ...about, out, acceptance, logProb, seconds, engine },
      text: `${counted(pictures, 'picture')} in ${seconds.toFixed(1)} s, ${how}: ${out}`,
    };
  });
}
