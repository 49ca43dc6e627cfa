import type { Command } from 'commander';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import type { tf } from '../core/tf.js';
import type { ImageSize } from '../data/index.js';
import { type AutoencoderQuality, autoencoderQuality } from '../evaluation/autoencoder-quality.js';
import type { FeatureStatistics } from '../evaluation/distances/features.js';
import { keptStatistics } from '../evaluation/features/kept-statistics.js';
import { featureNetworkNames, openFeatureNetwork } from '../evaluation/features/named-network.js';
import type { FeatureNetwork } from '../evaluation/features/network.js';
import { ability, disposeModel } from '../flow/flow.js';
import { type LoadedModel, loadCheckpoint } from '../models/load-checkpoint.js';
import { denoise } from '../sampling/denoise.js';
import { startProgress } from '../show/progress.js';
import { counted, number, wholeNumber } from './arguments.js';
import { imageSetForms, openImageSet } from './image-sets.js';
import { checkLatentsOf, givenScale, scaleForms } from './latent-options.js';
import { addSplitOptions, dataName, measuredSplit, type SplitOptions } from './measured-split.js';

interface AutoencoderOptions extends SplitOptions {
  count?: number;
  real?: string;
  network: string;
  noise: number;
  denoise?: string;
  scale?: string;
  seed: number;
  json: boolean;
}

/** `tarflow autoencoder`: how close decoded images come to those that were encoded. */
export function addAutoencoder(program: Command): void {
  const command = program
    .command('autoencoder')
    .description(
      'measure an autoencoder: peak signal-to-noise ratio, and the distance to real images',
    )
    .argument('<checkpoint>', 'an autoencoder: a safetensors file, of ours or published');
  addSplitOptions(command)
    .option('--real <images>', `${imageSetForms} (default: what it was trained on)`)
    .option(
      '--network <name>',
      `of the distance: ${featureNetworkNames.join(' or ')}, or none`,
      'efficientnet-lite0',
    )
    .option(
      '--noise <sigma>',
      'Gaussian noise of this standard deviation, on latents of unit variance',
      number,
      0,
    )
    .option('--denoise <flow>', 'a flow on latents, whose score takes that noise away')
    .option('--scale <scale>', `what latents are multiplied by: ${scaleForms}`)
    .option('--seed <n>', 'of the noise', wholeNumber, 0)
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Means of latents are decoded. The ratio is the mean over the images, with its standard error. The floor is
the distance of the images themselves, which were encoded, to the real ones.

Examples:
  $ tarflow autoencoder runs/vae/checkpoint.safetensors
  $ tarflow autoencoder runs/vae/checkpoint.safetensors --noise 0.3 --scale latents/train.safetensors \\
      --denoise runs/flow/checkpoint.safetensors
  $ tarflow autoencoder runs/vae-noisy/checkpoint.safetensors --noise 0.3 --scale latents/train.safetensors \\
      --split test --reason 'the claim that a decoder takes noise away better than a score'`,
    )
    .action(run);
}

async function run(checkpoint: string, options: AutoencoderOptions): Promise<void> {
  const { noise, seed } = options;
  if (!(noise >= 0)) throw new UserError(`--noise is ${noise}`, 'Expected a number of at least 0');
  if (options.denoise !== undefined && noise === 0) {
    throw new UserError('--denoise came without --noise', 'Give the noise that is taken away');
  }
  const asked = await givenScale(options.scale);
  await startEngine();
  const model = await loadCheckpoint(checkpoint);
  const opened: { dispose(): void }[] = [{ dispose: () => disposeModel(model) }];
  try {
    const scale = asked ?? ability(model.family, 'autoencoder').scale(model.config);
    if (noise > 0 && scale === undefined) {
      throw new UserError(
        `--noise came without --scale, and ${checkpoint} does not say what latents are multiplied by`,
        `Give --scale: ${scaleForms}`,
      );
    }
    const { data, begin } = await measuredSplit(checkpoint, model, options, 'reconstruction');
    const flow = options.denoise === undefined ? undefined : await loadCheckpoint(options.denoise);
    if (flow) {
      opened.push({ dispose: () => disposeModel(flow) });
      // Its decoder may have been trained further: its digest need not be that of the flow's latents.
      checkLatentsOf(flow, options.denoise as string, 'those here', { scale });
    }
    const images = Math.min(options.count ?? data.length, data.length);
    if (images < 2 && options.network !== 'none') {
      throw new UserError(
        'A distance takes two images or more, and 1 is measured',
        'Expected a --count above 1, or --network none',
      );
    }
    const network =
      options.network === 'none' ? undefined : await openFeatureNetwork(options.network);
    if (network) opened.push(network);
    const real = options.real ?? `${dataName(checkpoint, model, options.data)}/train`;
    const statistics = network && (await statisticsOf(network, real, model.config.image));
    await begin();
    const progress = startProgress({ title: 'Measuring', total: images, unit: 'images' });
    const quality = await autoencoderQuality(model, data, {
      ...{ count: images, noise, seed, scale },
      ...(flow && { denoise: (latents) => denoised(flow, latents, noise) }),
      ...(network && statistics && { distance: { network, real: statistics } }),
      onProgress: (share) => progress.update(Math.round(share * images)),
    }).finally(() => progress.finish());
    const about = { data: data.name, split: data.split, noise, denoise: options.denoise };
    const outcome = {
      ...{ checkpoint, ...about, ...quality },
      ...(network && { network: network.name, real, realImages: statistics?.count }),
    };
    console.log(options.json ? JSON.stringify(outcome, null, 2) : text(outcome, network));
  } finally {
    for (const one of opened) one.dispose();
  }
}

function denoised(flow: LoadedModel, latents: tf.Tensor4D, sigma: number): tf.Tensor4D {
  return denoise(flow, latents, { sigma });
}

async function statisticsOf(
  network: FeatureNetwork,
  name: string,
  image: ImageSize,
): Promise<FeatureStatistics> {
  const set = await openImageSet(name, { asked: image });
  const progress = startProgress({
    title: `Features of ${set.name}`,
    total: set.length,
    unit: 'images',
  });
  const images = set.first(set.length);
  try {
    return await keptStatistics(network, images, {
      name: set.name,
      onProgress: (share) => progress.update(Math.round(share * set.length)),
    });
  } finally {
    progress.finish();
    if ('dispose' in images) images.dispose();
    set.dispose();
  }
}

interface Outcome extends AutoencoderQuality {
  data: string;
  split: string;
  noise: number;
  denoise: string | undefined;
  real?: string;
  realImages?: number | undefined;
}

function text(outcome: Outcome, network: FeatureNetwork | undefined): string {
  const { images, data, split, noise, psnr, standardError, frechet, floor } = outcome;
  const treated = outcome.denoise === undefined ? '' : `, denoised by ${outcome.denoise}`;
  const noisy = noise > 0 ? `; noise of ${noise} on the latents${treated}` : '';
  const ratio = `PSNR ${psnr.toFixed(2)} ± ${standardError?.toFixed(2) ?? '–'} dB`;
  const lines = [`${ratio} (${counted(images, 'image')} of ${data}, ${split}${noisy})`];
  if (network && frechet !== undefined) {
    const title = network.distances?.frechet ?? 'Fréchet distance';
    lines.push(
      `${title} ${frechet.toFixed(3)}, floor ${floor?.toFixed(3)} ` +
        `(${network.name}, n = ${images} and ${outcome.realImages} of ${outcome.real})`,
    );
  }
  return lines.join('\n');
}
