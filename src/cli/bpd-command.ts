import type { Command } from 'commander';
import { type EngineReport, startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import type { DataSource } from '../data/index.js';
import {
  type BitsPerDimensionResult,
  datasetBitsPerDimension,
  meansByClass,
} from '../evaluation/bits-per-dimension.js';
import { ability, disposeModel } from '../flow/flow.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import { startProgress } from '../show/progress.js';
import type { CheckpointDetails } from '../training/checkpoint.js';
import { count, counted, wholeNumber } from './arguments.js';
import { addSplitOptions, measuredSplit } from './measured-split.js';

interface BpdOptions {
  data?: string;
  split: string;
  reason?: string;
  ledger?: string;
  count?: number;
  draws: number;
  seed: number;
  json: boolean;
}

/** `tarflow bpd`: the likelihood of a data set under a checkpoint. */
export function addBpd(program: Command): void {
  const command = program
    .command('bpd')
    .description('measure bits per dimension of a data set under a checkpoint')
    .argument('<checkpoint>', 'a safetensors file, of ours or published');
  addSplitOptions(command)
    .option('--draws <n>', 'of the dequantisation noise, averaged; the papers take one', count, 1)
    .option('--seed <n>', 'of the dequantisation noise', wholeNumber, 0)
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Every image gets uniform noise of a grey level, one draw or as many as --draws says; conditional models
see no label. The standard error is that over the images. Images of PATH are brought to the model's
size. Papers report the official validation images of official sets, which are the split test here.

Examples:
  $ tarflow bpd runs/density/checkpoint.safetensors --data fashion-mnist
  $ tarflow bpd runs/density/checkpoint.safetensors --split test --reason 'the figure of Table 2' \\
      --ledger results/test-readings.jsonl
  $ tarflow bpd runs/density/checkpoint.safetensors --split train --count 1000 --json
  $ tarflow bpd runs/imagenet64/checkpoint.safetensors --data imagenet64:data/imagenet64`,
    )
    .action(run);
}

async function run(checkpoint: string, options: BpdOptions): Promise<void> {
  const engine = await startEngine();
  const flow = await loadCheckpoint(checkpoint);
  try {
    ability(flow.family, 'flow');
    if (options.data === undefined && flow.details.latents) {
      throw new UserError(
        `${checkpoint} was trained on latents, and bits per dimension are those of pixels`,
        'Choose a model of images; the held-out loss of this one stands in the log of its run',
      );
    }
    const { data, begin } = await measuredSplit(checkpoint, flow, options, 'bits per dimension');
    await begin();
    const images = Math.min(options.count ?? data.length, data.length);
    const progress = startProgress({ title: 'Measuring', total: images, unit: 'images' });
    const begun = performance.now();
    const result = await datasetBitsPerDimension(flow, data, {
      count: images,
      ...{ seed: options.seed, draws: options.draws },
      onProgress: (share) => progress.update(Math.round(share * images)),
    }).finally(() => progress.finish());
    const seconds = (performance.now() - begun) / 1000;
    if (sawImages(flow.details, data)) {
      console.error(
        `${checkpoint} was trained on these images, too: of others it would take more bits. ` +
          'Expected images that it has not seen; the test split wants a --reason.',
      );
    }
    if (flow.details.noise?.kind === 'gaussian') {
      console.error(
        `${checkpoint} was trained with Gaussian noise: it models noisy images, and this measure ` +
          'of clean ones is far from the best it could be.',
      );
    }
    if (options.json) showJson(result, data, { checkpoint, ...options, seconds, engine });
    else {
      const { mean, standardError } = result;
      console.log(
        `${mean.toFixed(4)} ± ${standardError?.toFixed(4) ?? '–'} bits per dimension ` +
          `(${counted(images, 'image')} of ${data.name}, ${data.split}; ` +
          `seed ${options.seed}; ${seconds.toFixed(1)} s)`,
      );
    }
  } finally {
    disposeModel(flow);
  }
}

/** Whether images are told to be held out, and a model was trained on them all the same. */
function sawImages(
  { dataset, split }: CheckpointDetails,
  data: Pick<DataSource, 'name' | 'split'>,
): boolean {
  return data.split === 'validation' && dataset === data.name && split === 'train+validation';
}

function showJson(
  { mean, standardError, images, values }: BitsPerDimensionResult,
  { name, split, labels, classes }: DataSource,
  about: { checkpoint: string; seed: number; draws: number; seconds: number; engine: EngineReport },
): void {
  const { checkpoint, seed, draws, seconds, engine } = about;
  const byClass = meansByClass(values, labels).map(({ label, ...figures }) => ({
    class: classes[label] ?? label,
    ...figures,
  }));
  const outcome = {
    ...{ checkpoint, data: name, split, images, seed, draws, bitsPerDimension: mean },
    ...{ standardError, byClass, seconds, engine },
  };
  console.log(JSON.stringify(outcome, null, 2));
}
