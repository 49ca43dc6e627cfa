import { counted, UserError } from '../core/errors.js';
import type { DataSource } from '../data/index.js';
import { datasetBitsPerDimension, meansByClass } from '../evaluation/bits-per-dimension.js';
import { ability } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { checkpointArgument, count, wholeNumber } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel, withProgress } from './command.js';
import {
  addMeasuredOptions,
  checkReasonUsed,
  type MeasuredOptions,
  measuredSplit,
} from './data-options.js';

interface BpdOptions extends MeasuredOptions {
  draws: number;
  seed: number;
}

/** `tarflow bpd`: the likelihood of a data set under a checkpoint. */
export const bpd = defineCommand({
  name: 'bpd',
  description: 'measure bits per dimension of a data set under a checkpoint',
  options: (command) =>
    addMeasuredOptions(command.addArgument(checkpointArgument()))
      .option('--draws <n>', 'of the dequantisation noise, averaged; the papers take one', count, 1)
      .option('--seed <n>', 'of the dequantisation noise', wholeNumber, 0),
  help: `\
Every image gets uniform noise of a grey level, one draw or as many as --draws says; conditional models
see no label. The standard error is that over the images. Images of PATH are brought to the model's
size. Papers report the official validation images of official sets, which are the split test here.

Examples:
  $ tarflow bpd runs/density/checkpoint.safetensors --data fashion-mnist
  $ tarflow bpd runs/density/checkpoint.safetensors --split test --reason 'the figure of Table 2' \\
      --ledger results/test-readings.jsonl
  $ tarflow bpd runs/density/checkpoint.safetensors --split train --count 1000 --json
  $ tarflow bpd runs/imagenet64/checkpoint.safetensors --data imagenet64:data/imagenet64`,
  run,
});

function run(checkpoint: string, options: BpdOptions): Promise<Outcome> {
  checkReasonUsed(options, options.split);
  return withModel(checkpoint, async ({ model, engine }) => {
    ability(model.family, 'flow');
    if (options.data === undefined && model.details.latents) {
      throw new UserError(
        `${checkpoint} was trained on latents, and bits per dimension are those of pixels`,
        'Choose a model of images; the held-out loss of this one stands in the log of its run',
      );
    }
    const measured = await measuredSplit(checkpoint, model, options, 'bits per dimension');
    const { data, images } = measured;
    await measured.begin();
    const { seed, draws } = options;
    const elapsed = stopwatch();
    const { mean, standardError, values } = await withProgress('Measuring', images, (onProgress) =>
      datasetBitsPerDimension(model, data, { count: images, seed, draws, onProgress }),
    );
    const seconds = elapsed();
    warn(checkpoint, model, data);
    return {
      json: {
        checkpoint,
        data: data.name,
        split: data.split,
        images,
        seed,
        draws,
        bitsPerDimension: mean,
        standardError,
        byClass: meansByClass(values, data.labels).map(({ label, ...figures }) => ({
          class: data.classes[label] ?? label,
          ...figures,
        })),
        seconds,
        engine,
      },
      text:
        `${mean.toFixed(4)} ± ${standardError?.toFixed(4) ?? '–'} bits per dimension ` +
        `(${counted(images, 'image')} of ${data.name}, ${data.split}; ` +
        `seed ${seed}; ${seconds.toFixed(1)} s)`,
    };
  });
}

/** Tells what makes the measure of a model mean less. */
function warn(checkpoint: string, { details }: LoadedModel, { name, split }: DataSource): void {
  const { dataset, split: trained, noise } = details;
  // Images that are told to be held out, and that the model was trained on all the same.
  if (split === 'validation' && dataset === name && trained === 'train+validation') {
    console.error(
      `${checkpoint} was trained on these images, too: of others it would take more bits. ` +
        'Expected images that it has not seen; the test split wants a --reason.',
    );
  }
  if (noise?.kind === 'gaussian') {
    console.error(
      `${checkpoint} was trained with Gaussian noise: it models noisy images, and this measure ` +
        'of clean ones is far from the best it could be.',
    );
  }
}
