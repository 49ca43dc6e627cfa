import { counted, UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { ability } from '../flow/model.js';
import { fileDigest } from '../formats/tensor-file.js';
import { decode as decodeLatents } from '../sampling/autoencode.js';
import { defineCommand, type Outcome, stopwatch, withModel, withProgress } from './command.js';
import { givenScale, scaleForms } from './data-options.js';
import { checkImagesWritable, outForms, readLatents, writeImages } from './image-files.js';

interface DecodeOptions {
  in: string[];
  out: string;
  scale?: string;
}

/** `tarflow decode`: images of latents. */
export const decode = defineCommand({
  name: 'decode',
  description: 'make images of latents, those of a data set or samples of a flow',
  options: (command) =>
    command
      .argument('<checkpoint>', 'the autoencoder of these latents')
      .requiredOption(
        '--in <files...>',
        '.safetensors files of `tarflow encode` or `tarflow sample`',
      )
      .requiredOption('--out <path>', outForms)
      .option(
        '--scale <scale>',
        `what latents were multiplied by: ${scaleForms} (default: what the files or the autoencoder say)`,
      ),
  help: `\
Samples say the scale of the latents that their flow was trained on, where the file of those said it.

Examples:
  $ tarflow decode runs/vae/checkpoint.safetensors --in latents/validation.safetensors --out decoded/
  $ tarflow decode runs/vae/checkpoint.safetensors --in samples.safetensors --out grid.png`,
  run,
});

async function run(checkpoint: string, options: DecodeOptions): Promise<Outcome> {
  const { out } = options;
  await checkImagesWritable(out);
  const asked = await givenScale(options.scale);
  return withModel(checkpoint, async ({ model, own }) => {
    const known = ability(model.family, 'autoencoder').scale(model.config);
    const [first = ''] = options.in;
    const { images: latents, scale: stored, autoencoder } = await readLatents(options.in);
    own(latents);
    const scale = asked ?? stored ?? known;
    if (scale === undefined) {
      throw new UserError(
        `Neither ${first} nor ${checkpoint} says what the latents were multiplied by`,
        'Give --scale, best the file of the latents that the flow was trained on',
      );
    }
    const [count] = latents.shape;
    warnOfScale(latents);
    await warnOfAutoencoder(checkpoint, first, autoencoder);
    const elapsed = stopwatch();
    const images = await withProgress('Decoding', count, (onProgress) =>
      decodeLatents(model, own(tf.div<tf.Tensor4D>(latents, scale)), { onProgress }),
    );
    await writeImages(own(images), out);
    const seconds = elapsed();
    return {
      json: { checkpoint, out, images: count, scale, seconds },
      text: `${counted(count, 'image')} in ${seconds.toFixed(1)} s: ${out}`,
    };
  });
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
  const [variance = 0] = tidy(() => tf.moments(latents).variance.dataSync());
  const deviation = Math.sqrt(variance);
  if (deviation > 0.5 && deviation < 2) return;
  console.error(
    `The latents have a deviation of ${deviation.toPrecision(3)}, where those that flows are trained on ` +
      'have 1: their scale may be another one (--scale 1 for latents that were not scaled).',
  );
}
