import type { Command } from 'commander';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { ability, disposeModel } from '../flow/flow.js';
import { fileDigest } from '../formats/tensor-file.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import { decode } from '../sampling/autoencode.js';
import { startProgress } from '../show/progress.js';
import { counted } from './arguments.js';
import { checkImagesWritable, readLatents, writeImages } from './image-files.js';
import { givenScale, scaleForms } from './latent-options.js';

interface DecodeOptions {
  in: string[];
  out: string;
  scale?: string;
  json: boolean;
}

/** `tarflow decode`: images of latents. */
export function addDecode(program: Command): void {
  program
    .command('decode')
    .description('make images of latents, those of a data set or samples of a flow')
    .argument('<checkpoint>', 'the autoencoder of these latents')
    .requiredOption('--in <files...>', '.safetensors files of `tarflow encode` or `tarflow sample`')
    .requiredOption(
      '--out <path>',
      'a folder for pictures, a .png for a grid of them, a .safetensors for the numbers',
    )
    .option(
      '--scale <scale>',
      `what latents were multiplied by: ${scaleForms} (default: what the files or the autoencoder say)`,
    )
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Samples say the scale of the latents that their flow was trained on, where the file of those said it.

Examples:
  $ tarflow decode runs/vae/checkpoint.safetensors --in latents/validation.safetensors --out decoded/
  $ tarflow decode runs/vae/checkpoint.safetensors --in samples.safetensors --out grid.png`,
    )
    .action(run);
}

async function run(checkpoint: string, options: DecodeOptions): Promise<void> {
  const { out } = options;
  await checkImagesWritable(out);
  const asked = await givenScale(options.scale);
  await startEngine();
  const model = await loadCheckpoint(checkpoint);
  try {
    const known = ability(model.family, 'autoencoder').scale(model.config);
    const { latents, scale: stored, autoencoder } = await readLatents(options.in);
    try {
      const scale = asked ?? stored ?? known;
      if (scale === undefined) {
        throw new UserError(
          `Neither ${options.in[0]} nor ${checkpoint} says what the latents were multiplied by`,
          'Give --scale, best the file of the latents that the flow was trained on',
        );
      }
      const [count] = latents.shape;
      warnOfScale(latents);
      await warnOfAutoencoder(checkpoint, options.in[0] as string, autoencoder);
      const progress = startProgress({ title: 'Decoding', total: count, unit: 'images' });
      const begun = performance.now();
      const own = tf.div(latents, scale) as tf.Tensor4D;
      const images = await decode(model, own, {
        onProgress: (share) => progress.update(Math.round(share * count)),
      }).finally(() => {
        own.dispose();
        progress.finish();
      });
      const names = Array.from({ length: count }, (_, i) => `image-${i}`);
      await writeImages(images, out, names).finally(() => images.dispose());
      const seconds = (performance.now() - begun) / 1000;
      if (options.json) {
        console.log(JSON.stringify({ checkpoint, out, images: count, scale, seconds }, null, 2));
      } else {
        console.log(`${counted(count, 'image')} in ${seconds.toFixed(1)} s: ${out}`);
      }
    } finally {
      latents.dispose();
    }
  } finally {
    disposeModel(model);
  }
}

/** A decoder may have been trained further: another autoencoder than that of the latents may be right. */
async function warnOfAutoencoder(
  checkpoint: string,
  file: string,
  autoencoder: string | undefined,
): Promise<void> {
  if (autoencoder === undefined || autoencoder === (await fileDigest(checkpoint))) return;
  console.error(
    `${file} has latents by another autoencoder (SHA-256 ${autoencoder.slice(0, 12)}…) than ${checkpoint}: ` +
      'pictures are right only where this is that autoencoder with its decoder trained further.',
  );
}

/** Latents far from unit variance most likely have another scale: it is said, and they are decoded. */
function warnOfScale(latents: tf.Tensor4D): void {
  const deviation = tidy(() => Math.sqrt(tf.moments(latents).variance.dataSync()[0] as number));
  if (deviation > 0.5 && deviation < 2) return;
  console.error(
    `The latents have a deviation of ${deviation.toPrecision(3)}, where those that flows are trained on ` +
      'have 1: their scale may be another one (--scale 1 for latents that were not scaled).',
  );
}
