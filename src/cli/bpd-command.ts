import type { Command } from 'commander';
import { startEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import { datasetForms, datasetNames, openDataset, type Split } from '../data/index.js';
import { datasetBitsPerDimension } from '../evaluation/bits-per-dimension.js';
import { disposeModel } from '../flow/flow.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import { startProgress } from '../workbook/progress.js';
import { count, wholeNumber } from './arguments.js';

interface BpdOptions {
  data?: string;
  split: string;
  count?: number;
  seed: number;
  json: boolean;
}

/** `tarflow bpd`: the likelihood of a data set under a checkpoint. */
export function addBpd(program: Command): void {
  program
    .command('bpd')
    .description('measure bits per dimension of a data set under a checkpoint')
    .argument('<checkpoint>', 'a safetensors file, of ours or published')
    .option(
      '--data <name>',
      `${[...datasetNames, ...datasetForms].join(' or ')} (default: what it was trained on)`,
    )
    .option('--split <name>', 'train, validation, train+validation or test', 'test')
    .option('--count <n>', 'only the first images (default: all)', count)
    .option('--seed <n>', 'of the dequantisation noise', wholeNumber, 0)
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Every image gets one draw of uniform noise of a grey level; conditional models see no label. Images of
PATH are brought to the model's size, those of official sets as the papers do it, whose likelihoods are
of the official validation images: they are the split test.

Examples:
  $ tarflow bpd runs/density/checkpoint.safetensors --data fashion-mnist
  $ tarflow bpd runs/density/checkpoint.safetensors --split train --count 1000 --json
  $ tarflow bpd runs/imagenet64/checkpoint.safetensors --data imagenet64:data/imagenet64`,
    )
    .action(run);
}

async function run(checkpoint: string, options: BpdOptions): Promise<void> {
  const { split, seed } = options;
  const engine = await startEngine();
  const flow = await loadCheckpoint(checkpoint);
  try {
    const name = options.data ?? flow.details.dataset;
    if (name === undefined) {
      throw new UserError(
        `${checkpoint} does not say what it was trained on`,
        `Give --data ${[...datasetNames, ...datasetForms].join(' or --data ')}`,
      );
    }
    const { image } = flow.config;
    const data = await openDataset(name, split as Split, { image });
    const images = Math.min(options.count ?? data.length, data.length);
    const progress = startProgress({ title: 'Measuring', total: images, unit: 'images' });
    const begun = performance.now();
    const { mean, standardError } = await datasetBitsPerDimension(flow, data, {
      count: images,
      seed,
      onProgress: (share) => progress.update(Math.round(share * images)),
    }).finally(() => progress.finish());
    const seconds = (performance.now() - begun) / 1000;
    if (flow.details.noise?.kind === 'gaussian') {
      console.error(
        `${checkpoint} was trained with Gaussian noise: it models noisy images, and this measure ` +
          'of clean ones is far from the best it could be.',
      );
    }
    if (options.json) {
      const outcome = {
        checkpoint,
        data: name,
        split,
        images,
        seed,
        bitsPerDimension: mean,
        standardError,
        seconds,
        engine,
      };
      console.log(JSON.stringify(outcome, null, 2));
    } else {
      console.log(
        `${mean.toFixed(4)} ± ${standardError.toFixed(4)} bits per dimension ` +
          `(${images} images of ${name}, ${split}; seed ${seed}; ${seconds.toFixed(1)} s)`,
      );
    }
  } finally {
    disposeModel(flow);
  }
}
