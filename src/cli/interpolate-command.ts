import { classOf } from '../conditions/labels.js';
import { counted, UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { interpolate as between, type EditOptions, editLatents } from '../sampling/interpolate.js';
import { checkMemory, checkpointArgument, checkUsed, count, wholeNumber } from './arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel } from './command.js';
import { checkImagesWritable, imagesToEdit, outForms, writeImages } from './image-files.js';

interface InterpolateOptions {
  out: string;
  images?: number;
  label?: string;
  to?: string;
  seed: number;
}

/** `tarflow interpolate`: images between two, or with the noise of one and the label of another. */
export const interpolate = defineCommand({
  name: 'interpolate',
  description: 'draw what is between two images, or the style of images on other classes',
  options: (command) =>
    command
      .addArgument(checkpointArgument())
      .argument('<pictures...>', "of the model's size, or .safetensors files")
      .requiredOption('--out <path>', outForms)
      .option('--images <n>', 'how many from end to end (default: 8)', count)
      .option('--label <label>', 'what the pictures show, class number or name (default: none)')
      .option('--to <labels>', 'draw each with its own noise as these classes, commas between them')
      .option('--seed <n>', 'of the noise of the training, which pictures get', wholeNumber, 0),
  help: `\
A flow has one noise for each image. Of two pictures, the images on the way from one to the other are drawn,
along a great circle of their noise. With --to each picture keeps
its noise and gets other labels, in a row that begins with it: its style on other classes.

Examples:
  $ tarflow interpolate $FLOW boot.png sneaker.png --out strip.png
  $ tarflow interpolate $FLOW boot.png --label "Ankle boot" --to Sneaker,Sandal,Bag --out styles.png`,
  run,
});

async function run(
  checkpoint: string,
  files: string[],
  { out, images: asked, label: shown, to, seed }: InterpolateOptions,
): Promise<Outcome> {
  checkUsed({ images: asked }, to !== undefined && 'with --to');
  const count = asked ?? 8;
  await checkImagesWritable(out);
  if (to === undefined && files.length !== 2) {
    const problem = `${counted(files.length, 'picture')} came`;
    throw new UserError(problem, 'Expected two for the way between them, or --to');
  }
  return withModel(checkpoint, async (loaded) => {
    const { model, engine, own } = loaded;
    checkMemory(count, model.config.image);
    const { images, sigma } = await imagesToEdit(loaded, checkpoint, files, out);
    const labelOf = (name: string) => classOf(name.trim(), model.config, model.details.classNames);
    const label = shown === undefined ? undefined : labelOf(shown);
    const how: EditOptions = { from: label, sigma, seed };
    const elapsed = stopwatch();
    const edited: tf.Tensor4D[] = [];
    if (to === undefined) edited.push(own(await between(model, images, count, how)));
    else edited.push(images);
    for (const target of to?.split(',').map(labelOf) ?? []) {
      const made = editLatents(model, images, (z) => z, { ...how, to: target });
      edited.push(own(await made));
    }
    const [, ...size] = images.shape;
    // A row for each picture.
    const grid = own(tidy(() => tf.reshape(tf.stack(edited, 1), [-1, ...size])));
    const columns = to === undefined ? count : edited.length;
    const seconds = elapsed();
    const about = { checkpoint, pictures: files, label: shown, to, sigma, seed };
    await writeImages(grid, out, { columns, about });
    const text = `${counted(grid.shape[0], 'image')} in ${seconds.toFixed(1)} s: ${out}`;
    return { json: { ...about, out, images: grid.shape[0], columns, seconds, engine }, text };
  });
}
