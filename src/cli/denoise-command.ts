import type { Command } from 'commander';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { ability, disposeModel } from '../flow/flow.js';
import type { Model } from '../flow/model.js';
import { type LoadedModel, loadCheckpoint } from '../models/load-checkpoint.js';
import { type DenoiseOptions, denoise } from '../sampling/denoise.js';
import { startProgress } from '../show/progress.js';
import { counted, number } from './arguments.js';
import { addCaptionOptions, type CaptionOptions, captionsInTurn } from './caption-options.js';
import {
  checkDrawable,
  checkImagesWritable,
  checkNames,
  readImages,
  writeImages,
} from './image-files.js';
import { labelsInTurn } from './label-options.js';
import { checkLatentsOf } from './latent-options.js';

interface Options extends CaptionOptions {
  in: string[];
  sigma?: number;
  multiplier: number;
  label?: string;
  out: string;
  json: boolean;
}

/** `tarflow denoise`: one denoising step on images from files. */
export function addDenoise(program: Command): void {
  const command = program
    .command('denoise')
    .description("clean noisy images by one step along a model's own score")
    .argument('<checkpoint>', 'a safetensors file, of ours or published')
    .requiredOption(
      '--in <files...>',
      "pictures of the model's size, or .safetensors files with a tensor 'images'",
    )
    .requiredOption(
      '--out <path>',
      'a folder for pictures, a .png for a grid of them, a .safetensors for the numbers',
    )
    .option(
      '--sigma <sigma>',
      'standard deviation of the noise (default: that of the training)',
      number,
    )
    .option('--multiplier <lambda>', 'multiplies the step', number, 1)
    .option(
      '--label <label>',
      'class number or name of the images; several with commas take turns (default: none)',
    );
  addCaptionOptions(command)
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
The step is x + λσ²·∇ log p(x | label), or log p(x | text). Values are on the scale of the model, -1 black and 1 white;
pictures are clipped there, so take .safetensors to keep noise beyond black and white.

Examples:
  $ tarflow denoise model.safetensors --in noisy/*.png --sigma 0.1 --multiplier 1.2 --out clean/
  $ tarflow sample model.safetensors --count 64 --label Bag --out noisy.safetensors
  $ tarflow denoise model.safetensors --in noisy.safetensors --label Bag --out clean.png
  $ tarflow denoise model.safetensors --in noisy.safetensors --out clean.safetensors --json`,
    )
    .action(run);
}

async function run(checkpoint: string, options: Options): Promise<void> {
  const { out, multiplier } = options;
  if (!(multiplier > 0)) {
    throw new UserError(`--multiplier is ${multiplier}`, 'Expected a number above 0');
  }
  await checkImagesWritable(out);
  const engine = await startEngine();
  const flow = await loadCheckpoint(checkpoint);
  try {
    ability(flow.family, 'flow');
    checkDrawable(flow.config.image, out, `The images of ${checkpoint}`);
    const sigma = options.sigma ?? trainingSigma(flow, checkpoint);
    const { images, names } = await readImages(options.in, flow.config, (file, latents) =>
      checkLatentsOf(flow, checkpoint, `the latents of ${file}`, latents),
    );
    try {
      checkNames(out, names);
      const label = labelsInTurn(flow, checkpoint, options.label, names.length);
      const text = await captionsInTurn(flow, checkpoint, options, names.length);
      const begun = performance.now();
      const cleaned = await denoiseAll(flow, images, {
        sigma,
        multiplier,
        text,
        ...(label && { label }),
      }).finally(() => text?.dispose());
      const seconds = (performance.now() - begun) / 1000;
      const change = tidy(() =>
        Math.sqrt(tf.mean(tf.squaredDifference(cleaned, images)).dataSync()[0] as number),
      );
      if (!Number.isFinite(change)) {
        cleaned.dispose();
        throw new UserError(
          `Denoised by sigma ${sigma}, images are not finite`,
          "Expected noisy images about [-1, 1], as the model's own, and the sigma of their noise",
        );
      }
      await writeImages(cleaned, out, names).finally(() => cleaned.dispose());
      if (options.json) {
        const told = { label, ...(text && { text: options.text }) };
        const outcome = { checkpoint, out, images: names.length, sigma, multiplier, ...told };
        console.log(
          JSON.stringify({ ...outcome, rootMeanSquareChange: change, seconds, engine }, null, 2),
        );
      } else {
        console.log(
          `${counted(names.length, 'image')} denoised in ${seconds.toFixed(1)} s, root mean square change ` +
            `${change.toFixed(4)}: ${out}`,
        );
      }
    } finally {
      images.dispose();
    }
  } finally {
    disposeModel(flow);
  }
}

/** {@link denoise} in batches: a step keeps the activations of all blocks. */
async function denoiseAll(
  flow: Model,
  images: tf.Tensor4D,
  options: DenoiseOptions & { label?: readonly number[] },
): Promise<tf.Tensor4D> {
  const [count, ...size] = images.shape;
  const batchSize = 64;
  const parts: tf.Tensor4D[] = [];
  const progress = startProgress({ title: 'Denoising', total: count, unit: 'images' });
  try {
    for (let first = 0; first < count; first += batchSize) {
      const length = Math.min(batchSize, count - first);
      const label = options.label?.slice(first, first + length);
      parts.push(
        tidy(() =>
          denoise(flow, tf.slice(images, [first, 0, 0, 0], [length, ...size]), {
            ...options,
            ...(label && { label }),
            text: options.text && tf.slice(options.text, [first, 0, 0], [length, -1, -1]),
          }),
        ),
      );
      progress.update(first + length);
      // Let Control-C and the progress bar in.
      await new Promise(setImmediate);
    }
    return tf.concat(parts, 0);
  } finally {
    progress.finish();
    tf.dispose(parts);
  }
}

/**
 * The deviation of the noise that a model was trained with.
 * @param remedy what else the user can do
 * @throws UserError where it was not Gaussian, or is not known
 */
export function trainingSigma(
  { details }: LoadedModel,
  checkpoint: string,
  remedy = 'if this one was, give --sigma',
): number {
  if (details.noise?.kind === 'gaussian') return details.noise.sigma;
  const noise = details.noise ? 'was trained with uniform noise' : 'does not say its noise';
  throw new UserError(
    `${checkpoint} ${noise}`,
    `Denoising is for models trained with Gaussian noise; ${remedy}`,
  );
}
