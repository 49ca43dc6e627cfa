import { counted, UserError } from '../core/errors.js';
import type { tf } from '../core/tf.js';
import { type AutoencoderQuality, autoencoderQuality } from '../evaluation/autoencoder-quality.js';
import { featureNetworkNames, openFeatureNetwork } from '../evaluation/named-network.js';
import { ability } from '../flow/model.js';
import type { FeatureNetwork } from '../pretrained/feature-network.js';
import { denoise } from '../sampling/denoise.js';
import { checkpointArgument, checkUsed, number, wholeNumber } from './arguments.js';
import { defineCommand, loadModel, type Outcome, withModel, withProgress } from './command.js';
import {
  addMeasuredOptions,
  checkLatentsOf,
  checkReasonUsed,
  dataName,
  givenScale,
  type MeasuredOptions,
  measuredSplit,
  scaleForms,
} from './data-options.js';
import { imageSetForms, keptStatisticsOf, openImageSet } from './image-sets.js';

interface AutoencoderOptions extends MeasuredOptions {
  real?: string;
  network: string;
  noise: number;
  denoise?: string;
  scale?: string;
  seed: number;
}

/** `tarflow autoencoder`: how close decoded images come to those that were encoded. */
export const autoencoder = defineCommand({
  name: 'autoencoder',
  description:
    'measure an autoencoder: peak signal-to-noise ratio, and the distance to real images',
  options: (command) =>
    addMeasuredOptions(command.addArgument(checkpointArgument('an autoencoder: ')))
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
      .option('--seed <n>', 'of the noise', wholeNumber, 0),
  help: `\
Means of latents are decoded. The ratio is the mean over the images, with its standard error. The floor is
the distance of the images themselves, which were encoded, to the real ones.

Examples:
  $ tarflow autoencoder runs/vae/checkpoint.safetensors
  $ tarflow autoencoder runs/vae/checkpoint.safetensors --noise 0.3 --scale latents/train.safetensors \\
      --denoise runs/flow/checkpoint.safetensors
  $ tarflow autoencoder runs/vae-noisy/checkpoint.safetensors --noise 0.3 --scale latents/train.safetensors \\
      --split test --reason 'the claim that a decoder takes noise away better than a score'`,
  run,
});

async function run(checkpoint: string, options: AutoencoderOptions): Promise<Outcome> {
  const { noise, seed, denoise: denoiser } = options;
  if (!(noise >= 0)) throw new UserError(`--noise is ${noise}`, 'Expected a number of at least 0');
  const { scale: scaleText, real, network: byNetwork } = options;
  checkUsed({ denoise: denoiser, scale: scaleText }, noise === 0 && 'without --noise');
  checkUsed({ real }, byNetwork === 'none' && 'with --network none');
  checkReasonUsed(options, options.split);
  const asked = await givenScale(scaleText);
  return withModel(checkpoint, async ({ model, own }) => {
    const scale = asked ?? ability(model.family, 'autoencoder').scale(model.config);
    if (noise > 0 && scale === undefined) {
      throw new UserError(
        `--noise came without --scale, and ${checkpoint} does not say what latents are multiplied by`,
        `Give --scale: ${scaleForms}`,
      );
    }
    const measured = await measuredSplit(checkpoint, model, options, 'reconstruction');
    const { data, images: count } = measured;
    const flow = denoiser === undefined ? undefined : await loadModel(denoiser, own);
    // Its decoder may have been trained further: its digest need not be that of the flow's latents.
    if (flow && denoiser) checkLatentsOf(flow, denoiser, 'those here', { scale });
    if (count < 2 && options.network !== 'none') {
      throw new UserError(
        'A distance takes two images or more, and 1 is measured',
        'Expected a --count above 1, or --network none',
      );
    }
    const network =
      options.network === 'none' ? undefined : own(await openFeatureNetwork(options.network));
    const real = options.real ?? `${dataName(checkpoint, model, options.data)}/train`;
    const set = network && own(await openImageSet(real, { asked: model.config.image }));
    const statistics = network && set && (await keptStatisticsOf(network, set));
    await measured.begin();
    const quality = await withProgress('Measuring', count, (onProgress) =>
      autoencoderQuality(model, data, {
        count,
        noise,
        seed,
        scale,
        denoise: flow && ((latents: tf.Tensor4D) => denoise(flow, latents, { sigma: noise })),
        distance: network && statistics && { network, real: statistics },
        onProgress,
      }),
    );
    const outcome = {
      checkpoint,
      data: data.name,
      split: data.split,
      noise,
      denoise: denoiser,
      ...quality,
      network: network?.name,
      real: network && real,
      realImages: statistics?.count,
    };
    return { json: outcome, text: text(outcome, network) };
  });
}

interface Measured extends AutoencoderQuality {
  data: string;
  split: string;
  noise: number;
  denoise: string | undefined;
  real: string | undefined;
  realImages: number | undefined;
}

function text(measured: Measured, network: FeatureNetwork | undefined): string {
  const { images, data, split, noise, psnr, standardError, frechet, floor } = measured;
  const treated = measured.denoise === undefined ? '' : `, denoised by ${measured.denoise}`;
  const noisy = noise > 0 ? `; noise of ${noise} on the latents${treated}` : '';
  const ratio = `PSNR ${psnr.toFixed(2)} ± ${standardError?.toFixed(2) ?? '–'} dB`;
  const line = `${ratio} (${counted(images, 'image')} of ${data}, ${split}${noisy})`;
  if (!network || frechet === undefined) return line;
  const title = network.distances?.frechet ?? 'Fréchet distance';
  return (
    `${line}\n${title} ${frechet.toFixed(3)}, floor ${floor?.toFixed(3)} ` +
    `(${network.name}, n = ${images} and ${measured.realImages} of ${measured.real})`
  );
}
