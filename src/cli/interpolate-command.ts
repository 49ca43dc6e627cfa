import { classOf } from '../conditions/labels.js';
import { UserError } from '../core/errors.js';
import { randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { openDataset } from '../data/index.js';
import { forward } from '../flow/forward.js';
import { checkImageSize } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { interpolate as between, type EditOptions, editLatents } from '../sampling/interpolate.js';
import { type Noise, noisyImages } from '../training/batches/index.js';
import { checkpointArgument, count, counted, wholeNumber } from './arguments.js';
import { defineCommand, type Outcome, type Own, stopwatch, withModel } from './command.js';
import { checkLatentsOf, dataName } from './data-options.js';
import { gaussianSigma } from './denoising.js';
import {
  checkDrawable,
  checkImagesWritable,
  outForms,
  readImages,
  writeImages,
} from './image-files.js';

interface InterpolateOptions {
  out: string;
  images: number;
  label?: string;
  to?: string;
  attribute?: string;
  data?: string;
  seed: number;
}

/** `tarflow interpolate`: images between others, with another label, or along an attribute. */
export const interpolate = defineCommand({
  name: 'interpolate',
  description: 'draw what is between images, their style on other classes, or along an attribute',
  options: (command) =>
    command
      .addArgument(checkpointArgument())
      .argument('<pictures...>', "of the model's size, or .safetensors files")
      .requiredOption('--out <path>', outForms)
      .option('--images <n>', 'how many from end to end', count, 8)
      .option('--label <label>', 'what the pictures show, class number or name (default: none)')
      .option('--to <labels>', 'draw each with its own noise as these classes, commas between them')
      .option(
        '--attribute <from:to>',
        'move each from a class towards another: the difference of their means',
      )
      .option('--data <name>', 'for the means (default: what it was trained on)')
      .option('--seed <n>', 'of that noise', wholeNumber, 0),
  help: `\
A flow has one noise for each image. Of two pictures, the images on the way from one to the other are drawn,
along a great circle of their noise. With --to each picture keeps its noise and gets other labels: its
style on other classes. With --attribute its noise moves by the difference of two classes' means, from none
to all of it. Each row begins with the picture, and of two pictures it ends with the other one.

Examples:
  $ tarflow interpolate $FLOW boot.png sneaker.png --out strip.png
  $ tarflow interpolate $FLOW boot.png --label "Ankle boot" --to Sneaker,Sandal,Bag --out styles.png
  $ tarflow interpolate $FLOW boot.png --attribute "Ankle boot:Sandal" --images 6 --out moved.png`,
  run,
});

async function run(
  checkpoint: string,
  files: string[],
  options: InterpolateOptions,
): Promise<Outcome> {
  const { out, to, attribute, label, seed } = options;
  await checkImagesWritable(out);
  if (to !== undefined && attribute !== undefined) {
    throw new UserError('--to came with --attribute', 'Choose one of them');
  }
  if (to === undefined && attribute === undefined && files.length !== 2) {
    throw new UserError(
      `${counted(files.length, 'picture')} came`,
      'Expected two for the way between them, or --to, or --attribute',
    );
  }
  return withModel(checkpoint, async ({ model, engine, own }) => {
    checkDrawable(model.config.image, out, `The images of ${checkpoint}`);
    const { images } = await readImages(files, model.config.image, (file, latents) =>
      checkLatentsOf(model, checkpoint, `the latents of ${file}`, latents),
    );
    own(images);
    const sigma = gaussianSigma(model);
    const elapsed = stopwatch();
    const columns = await columnsOf(model, checkpoint, images, options, own);
    const seconds = elapsed();
    const [, ...size] = images.shape;
    // A row for each picture.
    const rows = (): tf.Tensor4D => tf.reshape(tf.stack(columns, 1), [-1, ...size]);
    const grid = own(tidy(rows));
    const about = { checkpoint, pictures: files, label, to, attribute, sigma, seed };
    await writeImages(grid, out, { columns: columns.length, about });
    return {
      json: { ...about, out, images: grid.shape[0], columns: columns.length, seconds, engine },
      text: `${counted(grid.shape[0], 'image')} in ${seconds.toFixed(1)} s: ${out}`,
    };
  });
}

/** The pictures and what becomes of them, column by column; all in the charge of `own`. */
async function columnsOf(
  model: LoadedModel,
  checkpoint: string,
  images: tf.Tensor4D,
  { to, attribute, images: count, label: shown, seed, data }: InterpolateOptions,
  own: Own,
): Promise<tf.Tensor4D[]> {
  const labelOf = (name: string) =>
    classOf(name.trim(), model.config, model.details.classNames ?? []);
  const label = shown === undefined ? undefined : labelOf(shown);
  const sigma = gaussianSigma(model);
  const how: EditOptions = { from: { label }, sigma, seed };
  const columns = [images];
  if (to !== undefined) {
    for (const target of to.split(',').map(labelOf)) {
      const edited = editLatents(model, images, (z) => z, { ...how, to: { label: target } });
      columns.push(own(await edited));
    }
    return columns;
  }
  if (attribute !== undefined) {
    const name = dataName(checkpoint, model, data);
    const direction = own(await classDifference(model, name, attribute.split(':'), sigma));
    for (let i = 0; i < count; i++) {
      const share = i / Math.max(1, count - 1);
      const moved = (z: tf.Tensor3D) => tf.add(z, tf.mul(direction, share));
      columns.push(own(await editLatents(model, images, moved, how)));
    }
    return columns;
  }
  const [first, last] = tf.split(images, 2, 0);
  own(first);
  own(last);
  const path = own(await between(model, first, last, count, how));
  const points = Array.from({ length: count }, (_, i) => own(tf.slice(path, i, 1)));
  return [first, ...points, last];
}

/** Images of each class that its mean is taken of. */
const perClass = 200;

/** What the mean noise of a class has more than that of another one (1, T, D), without labels. */
async function classDifference(
  model: LoadedModel,
  name: string,
  ends: readonly string[],
  sigma: number | undefined,
): Promise<tf.Tensor3D> {
  if (ends.length !== 2) {
    throw new UserError(
      `--attribute is ${ends.join(':')}`,
      'Expected two classes with a colon between them',
    );
  }
  const data = await openDataset(name, 'train', { image: model.config.image });
  checkImageSize(model.config, data.image, name);
  const noise: Noise = sigma === undefined ? { kind: 'none' } : { kind: 'gaussian', sigma };
  const { channels, height, width } = data.image;
  const batches: Float32Array[] = [];
  for (const end of ends) {
    const label = classOf(end.trim(), { classes: data.classes.length }, data.classes);
    const indices = Array.from(data.labels.keys()).filter((i) => data.labels[i] === label);
    const { values } = await data.read(indices.slice(0, perClass));
    batches.push(noisyImages(values, noise, randomKey(label)));
  }
  return tidy(() => {
    const means = batches.map((values) => {
      const count = values.length / (channels * height * width);
      const x = tf.tensor4d(values, [count, channels, height, width]);
      return tf.mean(forward(model, x).z, 0, true);
    });
    return tf.sub(means[1]!, means[0]!);
  });
}
