import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { ability } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { denoise as denoiseBatch } from '../sampling/denoise.js';
import type { CheckpointDetails } from '../training/checkpoint.js';
import { checkpointArgument, counted, number } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel, withProgress } from './command.js';
import {
  addConditionOptions,
  type ConditionOptions,
  type ConditionsInTurn,
  conditionsInTurn,
} from './condition-options.js';
import { checkLatentsOf } from './data-options.js';
import {
  checkDrawable,
  checkImagesWritable,
  checkNames,
  outForms,
  readImages,
  writeImages,
} from './image-files.js';

interface DenoiseOptions extends ConditionOptions {
  in: string[];
  sigma?: number;
  multiplier: number;
  out: string;
}

/** `tarflow denoise`: one denoising step on images from files. */
export const denoise = defineCommand({
  name: 'denoise',
  description: "clean noisy images by one step along a model's own score",
  options: (command) =>
    addConditionOptions(
      command
        .addArgument(checkpointArgument())
        .requiredOption(
          '--in <files...>',
          "pictures of the model's size, or .safetensors files with a tensor 'images'",
        )
        .requiredOption('--out <path>', outForms)
        .option(
          '--sigma <sigma>',
          'standard deviation of the noise (default: that of the training)',
          number,
        )
        .option('--multiplier <lambda>', 'multiplies the step', number, 1),
    ),
  help: `\
The step is x + λσ²·∇ log p(x | label), or log p(x | text). Values are on the scale of the model, -1 black and 1 white;
pictures are clipped there, so take .safetensors to keep noise beyond black and white.

Examples:
  $ tarflow denoise model.safetensors --in noisy/*.png --sigma 0.1 --multiplier 1.2 --out clean/
  $ tarflow sample model.safetensors --count 64 --label Bag --out noisy.safetensors
  $ tarflow denoise model.safetensors --in noisy.safetensors --label Bag --out clean.png
  $ tarflow denoise model.safetensors --in noisy.safetensors --out clean.safetensors --json`,
  run,
});

async function run(checkpoint: string, options: DenoiseOptions): Promise<Outcome> {
  const { out, multiplier } = options;
  if (!(multiplier > 0)) {
    throw new UserError(`--multiplier is ${multiplier}`, 'Expected a number above 0');
  }
  await checkImagesWritable(out);
  return withModel(checkpoint, async ({ model: flow, engine, own }) => {
    ability(flow.family, 'flow');
    checkDrawable(flow.config.image, out, `The images of ${checkpoint}`);
    const sigma = options.sigma ?? trainingSigma(flow, checkpoint);
    const { images, names } = await readImages(options.in, flow.config.image, (file, latents) =>
      checkLatentsOf(flow, checkpoint, `the latents of ${file}`, latents),
    );
    own(images);
    checkNames(out, names);
    const conditions = await conditionsInTurn(flow, checkpoint, options, names.length);
    own(conditions.text);
    const elapsed = stopwatch();
    const cleaned = own(await denoiseAll(flow, images, { sigma, multiplier, ...conditions }));
    const seconds = elapsed();
    const [meanSquare = 0] = tidy(() => tf.mean(tf.squaredDifference(cleaned, images)).dataSync());
    const rootMeanSquareChange = Math.sqrt(meanSquare);
    if (!Number.isFinite(rootMeanSquareChange)) {
      throw new UserError(
        `Denoised by sigma ${sigma}, images are not finite`,
        "Expected noisy images about [-1, 1], as the model's own, and the sigma of their noise",
      );
    }
    await writeImages(cleaned, out, { names });
    return {
      json: {
        checkpoint,
        out,
        images: names.length,
        sigma,
        multiplier,
        label: conditions.label,
        text: conditions.text && options.text,
        rootMeanSquareChange,
        seconds,
        engine,
      },
      text:
        `${counted(names.length, 'image')} denoised in ${seconds.toFixed(1)} s, root mean square change ` +
        `${rootMeanSquareChange.toFixed(4)}: ${out}`,
    };
  });
}

/** Denoises in batches: a step keeps the activations of all blocks. */
function denoiseAll(
  flow: LoadedModel,
  images: tf.Tensor4D,
  { label, text, ...step }: ConditionsInTurn & { sigma: number; multiplier: number },
): Promise<tf.Tensor4D> {
  const [count] = images.shape;
  const batchSize = 64;
  return withProgress('Denoising', count, async (onProgress) => {
    const parts: tf.Tensor4D[] = [];
    try {
      for (let first = 0; first < count; first += batchSize) {
        const length = Math.min(batchSize, count - first);
        const part = tidy(() =>
          denoiseBatch(flow, tf.slice(images, first, length), {
            ...step,
            label: label?.slice(first, first + length),
            text: text && tf.slice(text, first, length),
          }),
        );
        parts.push(part);
        onProgress((first + length) / count);
        // Let Control-C and the progress bar in.
        await new Promise(setImmediate);
      }
      return tf.concat(parts, 0);
    } finally {
      tf.dispose(parts);
    }
  });
}

/**
 * Checks the deviation of noise that is given of a model, which may say it itself.
 * @throws UserError where it is not above 0, and where the model says another one
 */
export function checkSigma(checkpoint: string, { noise }: CheckpointDetails, sigma: number): void {
  if (!(sigma > 0)) throw new UserError(`--sigma is ${sigma}`, 'Expected a number above 0');
  if (!noise || (noise.kind === 'gaussian' && noise.sigma === sigma)) return;
  const stated =
    noise.kind === 'gaussian' ? `Gaussian noise, sigma ${noise.sigma}` : 'uniform noise';
  throw new UserError(
    `--sigma is ${sigma}, and ${checkpoint} was trained with ${stated}`,
    'Leave --sigma out',
  );
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
