import * as path from 'node:path';
import type { ExecutionOptions } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { blocksOf, farthestPixel } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { checkPriorTemperature, sample as drawSamples } from '../sampling/sample.js';
import { addShortfalls, noShortfalls, type Shortfalls } from '../sampling/solvers/solve-block.js';
import { strategyNames } from '../sampling/solvers/strategies.js';
import {
  checkpointArgument,
  count,
  counted,
  imageSize,
  modeOption,
  number,
  precisionOption,
  wholeNumber,
} from './arguments.js';
import {
  defineCommand,
  type ModelAtWork,
  type Outcome,
  stopwatch,
  withModel,
  withProgress,
} from './command.js';
import {
  addConditionOptions,
  addGuidanceOptions,
  type ConditionOptions,
  conditionsInTurn,
  type GuidanceOptions,
  guidanceOf,
} from './condition-options.js';
import { checkSigma, trainingSigma } from './denoise-command.js';
import { checkDrawable, checkImagesWritable, outForms, writeImages } from './image-files.js';
import { chosenSolvers } from './plans.js';

/** Images sampled together. */
const batchSize = 64;

interface SampleOptions extends GuidanceOptions, ConditionOptions, ExecutionOptions {
  count: number;
  plan?: string;
  denoise?: number | true;
  sigma?: number;
  priorTemperature?: number;
  seed: number;
  size?: { height: number; width: number };
  columns?: number;
  out: string;
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
      .option('--columns <n>', 'images in a row (default: a square)', count),
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
  $ tarflow sample runs/density/checkpoint.safetensors --count 1 --plan auto --out fast.png`,
  run,
});

async function run(checkpoint: string, options: SampleOptions): Promise<Outcome> {
  const { count, seed, out, priorTemperature, size, plan, textEncoder } = options;
  if (options.columns !== undefined && path.extname(out) !== '.png') {
    throw new UserError(`--columns came for ${out}, which is no grid`, 'Leave it out');
  }
  checkPriorTemperature(priorTemperature ?? 1);
  await checkImagesWritable(out);
  const work = async ({ model: flow, engine, own }: ModelAtWork): Promise<Outcome> => {
    checkDrawable(flow.config.image, out, `Samples of ${checkpoint}`);
    const conditions = await conditionsInTurn(flow, checkpoint, options, count);
    const { label, text } = conditions;
    own(text);
    const guidance = guidanceOf(flow, conditions, options);
    const denoise = denoising(flow, checkpoint, options);
    const { mode, precision } = options;
    const how = { label, guidance, mode, precision };
    const batch = Math.min(count, batchSize);
    const use = { batch, ...how, captions: options.text, textEncoder };
    const solver =
      plan === undefined ? undefined : await chosenSolvers(flow, checkpoint, plan, use);
    const shortfalls = noShortfalls(flow.family.blocks ? blocksOf(flow).length : 0);
    const elapsed = stopwatch();
    const images = await withProgress('Sampling', count, (onProgress) =>
      drawSamples(flow, {
        ...how,
        count,
        seed,
        batchSize,
        text,
        solver,
        denoise,
        priorTemperature,
        onTrace: (trace) => addShortfalls(shortfalls, trace),
        onProgress,
      }),
    );
    const seconds = elapsed();
    own(images);
    const told = shortfallText(shortfalls);
    if (told) console.error(told);
    const diverged = divergedText(images, flow.details, guidance !== undefined);
    if (diverged) console.error(diverged);
    const { latents } = flow.details;
    const about = {
      checkpoint,
      seed,
      label,
      guidance,
      denoise,
      plan,
      text: text && options.text,
      priorTemperature,
    };
    await writeImages(images, out, { columns: options.columns, latents, about });
    return {
      json: {
        ...about,
        out,
        images: count,
        solver,
        ...shortfalls,
        seconds,
        engine,
      },
      text: `${counted(count, 'sample')} in ${seconds.toFixed(1)} s: ${out}`,
    };
  };
  return withModel(checkpoint, work, size ? { imageSize: size } : {});
}

/** Segments that iterations did not solve as they should have, in a line; empty where none. */
function shortfallText({ fallbacks, unconverged }: Shortfalls): string {
  const sentence = (what: string, counts: readonly number[]): string[] => {
    const blocks = counts.flatMap((n, block) => (n > 0 ? [`${n} in block ${block}`] : []));
    return blocks.length > 0 ? [`${what}: ${blocks.join(', ')}.`] : [];
  };
  return [
    ...sentence('Segments solved token by token, an iterate being not finite', fallbacks),
    ...sentence('Segments left before they converged, at the most iterations allowed', unconverged),
  ].join(' ');
}

/** How many samples left the range of pictures or are not finite, and what to do; empty where none did. */
function divergedText(
  images: tf.Tensor4D,
  { steps }: LoadedModel['details'],
  guided: boolean,
): string {
  const [count, channels] = images.shape;
  const limit = channels <= 3 ? farthestPixel : Number.MAX_VALUE;
  const farthest = tidy(() => tf.max(tf.abs(images), [1, 2, 3]).dataSync());
  const finite = tidy(() => tf.all(tf.isFinite(images), [1, 2, 3]).dataSync());
  const far = farthest.filter((value, i) => !finite[i] || value > limit).length;
  if (far === 0) return '';
  const trained = steps === undefined ? '' : ` after ${counted(steps, 'step')} of training`;
  const ways = [
    ...(guided ? ['a smaller --guidance'] : []),
    '--prior-temperature 0.9',
    'a longer training (tarflow train --from)',
  ];
  return (
    `${far} of ${counted(count, 'sample')} diverged${trained}: pixels are far beyond black and white, or not ` +
    `finite (magenta in a picture). What helps: ${ways.join(', ')}.`
  );
}

function denoising(
  flow: LoadedModel,
  checkpoint: string,
  { denoise, sigma: given }: SampleOptions,
): { sigma: number; multiplier: number } | undefined {
  if (denoise === undefined) {
    if (given === undefined) return undefined;
    throw new UserError('--sigma came without --denoise', 'Add it, or leave --sigma out');
  }
  if (given !== undefined) checkSigma(checkpoint, flow.details, given);
  const sigma = given ?? trainingSigma(flow, checkpoint, 'give --sigma, or leave --denoise out');
  return { sigma, multiplier: denoise === true ? 1 : denoise };
}
