import { tf, tidy } from '../../src/core/tf.js';
import { type ImageDataset, imagesTensor } from '../../src/data/index.js';
import { mean } from '../../src/evaluation/statistics.js';
import type { Model } from '../../src/flow/model.js';
import { inpaint } from '../../src/sampling/inpaint.js';
import { sample } from '../../src/sampling/sample.js';

/** How pictures of one image, with a part drawn, compare with it, as means over the pictures. */
export interface InpaintingRow {
  /** Its number in the data set. */
  image: number;
  class: string;
  /** `drawn` given the rest, or samples of the class `pasted` into the mask, which ignore the rest. */
  how: 'drawn' | 'pasted';
  /** Peak signal-to-noise ratio within the mask, dB. */
  psnr: number;
  /** 1 less the cosine of features of the picture and of the image. */
  distance: number;
  /** Root mean square difference of two pictures within the mask, on [−1, 1]. */
  diversity: number;
  /** Share of proposals accepted; absent of exact draws. */
  acceptance?: number;
}

/** What is drawn, and how. */
export interface InpaintingStudy {
  indices: readonly number[];
  /** (1, 1, height, width). */
  mask: tf.Tensor4D;
  /** Pictures of each image; at least 2. */
  count: number;
  sigma: number;
  steps?: number;
  /** Features (batch, width) of images, in `tidy`. */
  features(images: tf.Tensor4D): tf.Tensor2D;
  onProgress?(done: number): void;
}

/**
 * Draws a part of some images by their class, and measures the pictures.
 *
 * @returns a row for each image and way, and the drawn pictures (images · count, channels, height, width),
 *   which the caller frees
 */
export async function measureInpainting(
  flow: Model,
  data: ImageDataset,
  { indices, mask, count, sigma, steps, features, onProgress }: InpaintingStudy,
): Promise<{ rows: InpaintingRow[]; pictures: tf.Tensor4D }> {
  const rows: InpaintingRow[] = [];
  const pictures: tf.Tensor4D[] = [];
  for (const [i, index] of indices.entries()) {
    const label = data.labels[index]!;
    const image = imagesTensor(data, [index]);
    const options = { count, sigma, seed: i, label, ...(steps && { steps }) };
    const drawn = await inpaint(flow, image, mask, options);
    const samples = await sample(flow, {
      ...{ count, label, seed: 1000 + i },
      ...(sigma > 0 && { denoise: { sigma } }),
    });
    const pasted = tidy(() => tf.where(tf.greater(mask, 0), samples, image));
    const about = { image: index, class: data.classes[label]! };
    const acceptance = drawn.acceptance && mean(drawn.acceptance);
    for (const [how, made] of Object.entries({ drawn: drawn.images, pasted })) {
      rows.push({
        ...{ ...about, how: how as InpaintingRow['how'], ...compared(image, made, mask, features) },
        ...(how === 'drawn' && acceptance !== undefined && { acceptance }),
      });
    }
    pictures.push(drawn.images);
    tf.dispose([image, samples, pasted]);
    onProgress?.(i + 1);
  }
  const all = tf.concat(pictures);
  tf.dispose(pictures);
  return { rows, pictures: all };
}

/** Pictures beside the image that they should be like. */
function compared(
  image: tf.Tensor4D,
  made: tf.Tensor4D,
  mask: tf.Tensor4D,
  features: InpaintingStudy['features'],
): Pick<InpaintingRow, 'psnr' | 'distance' | 'diversity'> {
  return tidy(() => {
    const clipped = tf.clipByValue(made, -1, 1);
    const drawn = tf.cast(tf.greater(mask, 0), 'float32');
    const pixels = tf.mul(tf.sum(drawn), image.shape[1]);
    const squares = (a: tf.Tensor4D, b: tf.Tensor4D) =>
      tf.div(tf.sum(tf.mul(tf.squaredDifference(a, b), drawn), [1, 2, 3]), pixels);
    const errors = squares(clipped, image).dataSync();
    const next = tf.concat([tf.slice(clipped, 1), tf.slice(clipped, 0, 1)]) as tf.Tensor4D;
    const apart = squares(clipped, next).dataSync();
    const unit = (rows: tf.Tensor2D) => tf.div(rows, tf.norm(rows, 2, 1, true));
    const cosines = tf.sum(tf.mul(unit(features(clipped)), unit(features(image))), 1).dataSync();
    return {
      psnr: mean(Array.from(errors, (error) => 10 * Math.log10(4 / error))),
      distance: 1 - mean(cosines),
      diversity: Math.sqrt(mean(apart)),
    };
  });
}
