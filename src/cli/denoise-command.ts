import { counted, UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { ability } from '../flow/model.js';
import { checkpointArgument, number } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel } from './command.js';
import {
  addConditionOptions,
  type ConditionOptions,
  conditionsInTurn,
} from './condition-options.js';
import { denoiseAll, trainingSigma } from './denoising.js';
import {
  checkImagesWritable,
  checkNames,
  imagesToEdit,
  outForms,
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
  return withModel(checkpoint, async (loaded) => {
    const { model: flow, engine, own } = loaded;
    ability(flow.family, 'flow');
    const sigma = options.sigma ?? trainingSigma(flow, checkpoint);
    const { images, names } = await imagesToEdit(loaded, checkpoint, options.in, out);
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
