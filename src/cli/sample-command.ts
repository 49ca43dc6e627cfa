import * as path from 'node:path';
import type { Command } from 'commander';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import type { tf } from '../core/tf.js';
import { blocksOf, disposeModel } from '../flow/flow.js';
import { type LoadedModel, loadCheckpoint } from '../models/load-checkpoint.js';
import type { ExecutionOptions } from '../sampling/guidance/execution.js';
import { askedExecution } from '../sampling/guidance/execution.js';
import { checkPriorTemperature, sample } from '../sampling/sample.js';
import { strategyNames } from '../sampling/solvers/published-strategies.js';
import { addShortfalls, noShortfalls, type Shortfalls } from '../sampling/solvers/solve-record.js';
import { saveImageGrid } from '../show/image-grid.js';
import { startProgress } from '../show/progress.js';
import {
  checkWritable,
  count,
  counted,
  imageSize,
  modeOption,
  number,
  precisionOption,
  wholeNumber,
} from './arguments.js';
import { addCaptionOptions, type CaptionOptions, captionsInTurn } from './caption-options.js';
import { trainingSigma } from './denoise-command.js';
import { addGuidanceOptions, type GuidanceOptions, guidanceOf } from './guidance-options.js';
import { checkDrawable, writeImages } from './image-files.js';
import { labelsInTurn } from './label-options.js';
import { chosenSolvers } from './plan-choice.js';

/** Images sampled together. */
const batchSize = 64;

interface SampleOptions extends GuidanceOptions, CaptionOptions, ExecutionOptions {
  count: number;
  label?: string;
  plan?: string;
  denoise?: number | true;
  priorTemperature?: number;
  seed: number;
  size?: { height: number; width: number };
  columns?: number;
  out: string;
  json: boolean;
}

/** `tarflow sample`: images from a checkpoint, as a grid in a PNG file. */
export function addSample(program: Command): void {
  const command = program
    .command('sample')
    .description('draw images from a checkpoint, into a picture or as numbers')
    .argument('<checkpoint>', 'a safetensors file, of ours or published')
    .requiredOption('--out <file.png>', 'the picture, or a .safetensors file for all digits')
    .option('--count <n>', 'how many images', count, 16)
    .option(
      '--label <label>',
      'class number or name; several with commas take turns, e.g. 0,1,2 (default: none)',
    );
  addCaptionOptions(command);
  addGuidanceOptions(command)
    .option(
      '--plan <which>',
      "auto for the plan beside the checkpoint, a plan's file, or a published strategy " +
        `(${strategyNames.join(', ')}); default: sequential`,
    )
    .addOption(modeOption())
    .addOption(precisionOption())
    .option('--denoise [multiplier]', 'one denoising step for the noise of training', number)
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
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
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
    )
    .action(run);
}

async function run(checkpoint: string, options: SampleOptions): Promise<void> {
  const { seed, out, priorTemperature, size } = options;
  const isPicture = isPictureName(out, options.columns);
  checkPriorTemperature(priorTemperature ?? 1);
  await checkWritable(out);
  const engine = await startEngine();
  const flow = await loadCheckpoint(checkpoint, size ? { imageSize: size } : {});
  let text: tf.Tensor3D | undefined;
  try {
    checkDrawable(flow.config.image, out, `Samples of ${checkpoint}`);
    const label = labelsInTurn(flow, checkpoint, options.label, options.count);
    text = await captionsInTurn(flow, checkpoint, options, options.count);
    const guidance = guidanceOf(flow, (label ?? text) !== undefined, options);
    const denoise = denoising(flow, checkpoint, options);
    const batch = Math.min(options.count, batchSize);
    const how = {
      ...(label && { label }),
      ...(guidance && { guidance }),
      ...askedExecution(options),
    };
    const { text: captions, textEncoder } = options;
    const use = { batch, ...how, captions, textEncoder };
    const solver =
      options.plan === undefined
        ? undefined
        : await chosenSolvers(flow, checkpoint, options.plan, use);
    const shortfalls = noShortfalls(flow.family.blocks ? blocksOf(flow).length : 0);
    const progress = startProgress({ title: 'Sampling', total: options.count, unit: 'images' });
    const begun = performance.now();
    const images = await sample(flow, {
      count: options.count,
      seed,
      batchSize,
      ...how,
      text,
      ...(solver && { solver }),
      ...(denoise && { denoise }),
      ...(priorTemperature !== undefined && { priorTemperature }),
      onTrace: (trace) => addShortfalls(shortfalls, trace),
      onProgress: (share) => progress.update(Math.floor(share * options.count)),
    }).finally(() => progress.finish());
    const seconds = (performance.now() - begun) / 1000;
    const told = shortfallText(shortfalls);
    if (told) console.error(told);
    if (images.dataSync().some((value) => !Number.isFinite(value))) {
      console.error('Some pixels are not finite, and magenta: the model or its guidance diverges.');
    }
    try {
      if (isPicture) {
        await saveImageGrid(images, out, options.columns ? { columns: options.columns } : {});
      } else {
        await writeImages(images, out, [], flow.details.latents);
      }
    } finally {
      images.dispose();
    }
    if (options.json) {
      const { count: images, plan } = options;
      const what = { checkpoint, out, images, seed, label, guidance, denoise, plan, solver };
      const captions = text && { text: options.text };
      console.log(
        JSON.stringify(
          { ...what, ...captions, priorTemperature, ...shortfalls, seconds, engine },
          null,
          2,
        ),
      );
    } else {
      console.log(`${counted(options.count, 'sample')} in ${seconds.toFixed(1)} s: ${out}`);
    }
  } finally {
    text?.dispose();
    disposeModel(flow);
  }
}

/**
 * Whether samples become a picture, and not numbers.
 * @throws UserError for another name than of these, and for columns of numbers
 */
function isPictureName(out: string, columns: number | undefined): boolean {
  const ending = path.extname(out);
  if (ending === '.png') return true;
  if (ending !== '.safetensors') {
    throw new UserError(`--out is ${out}`, 'Expected a name that ends in .png or .safetensors');
  }
  if (columns === undefined) return false;
  throw new UserError(`--columns came for ${out}, which is no picture`, 'Leave it out');
}

/** Segments that iterations did not solve as they should have, in a line; empty where none. */
function shortfallText({ fallbacks, unconverged }: Shortfalls): string {
  const byBlock = (counts: readonly number[]): string[] =>
    counts.flatMap((count, block) => (count > 0 ? [`${count} in block ${block}`] : []));
  const [broken, open] = [byBlock(fallbacks), byBlock(unconverged)];
  return [
    ...(broken.length > 0
      ? [`Segments solved token by token, an iterate being not finite: ${broken.join(', ')}.`]
      : []),
    ...(open.length > 0
      ? [`Segments left before they converged, at the most iterations allowed: ${open.join(', ')}.`]
      : []),
  ].join(' ');
}

function denoising(
  flow: LoadedModel,
  checkpoint: string,
  { denoise }: SampleOptions,
): { sigma: number; multiplier: number } | undefined {
  if (denoise === undefined) return undefined;
  const sigma = trainingSigma(flow, checkpoint, 'leave --denoise out');
  return { sigma, multiplier: denoise === true ? 1 : denoise };
}
