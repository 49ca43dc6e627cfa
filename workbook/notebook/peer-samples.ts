import { basename } from 'node:path';
import { UserError } from '../../src/core/errors.js';
import { tf } from '../../src/core/tf.js';
import { sharp } from '../../src/show/sharp.js';
import { peersFrames } from '../records/frames.js';
import { resultToRead } from '../records/results-folder.js';
import type { ImageRow } from './image-rows.js';

/** The strips of `test/benchmarks/peer-models.ts`: so many samples, two pixels of the picture for one, a gap of two. */
const strip = { samples: 20, perClass: 2, scale: 2, gap: 2 };

/**
 * Samples of each kind of model that was measured on a data set, the first one of each class, by FD: rows
 * for `showImageRows`, in [−1, 1], which the caller frees.
 *
 * @throws UserError where no kinds of models are recorded, or a picture is not there
 */
export async function peerSamples(dataset: string): Promise<ImageRow[]> {
  const { models } = await peersFrames(dataset);
  const rows: ImageRow[] = [];
  for (const { kind, model, seed, FD } of models.sort('FD').toRecords()) {
    if (seed !== 1 || FD === null) continue;
    rows.push([String(kind), await samplesOf(resultToRead(`peers/${model}.png`))]);
  }
  return rows;
}

async function samplesOf(file: string): Promise<tf.Tensor4D> {
  const { samples, perClass, scale, gap } = strip;
  const picture = sharp()(file).removeAlpha();
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  const side = info.height / scale;
  if (info.width !== samples * (side * scale + gap) - gap) {
    throw new UserError(
      `${basename(file)} has ${info.width}×${info.height} pixels`,
      `Expected ${samples} pictures of ${info.height} pixels with gaps of ${gap}`,
    );
  }
  return tf.tidy(() => {
    const whole = tf.tensor3d(new Int32Array(data), [info.height, info.width, info.channels]);
    const small = tf.stridedSlice(whole, [0, 0, 0], whole.shape, [scale, scale, 1]) as tf.Tensor3D;
    const images = Array.from({ length: samples / perClass }, (_, i) =>
      tf.slice(small, [0, (i * perClass * (side * scale + gap)) / scale, 0], [-1, side, -1]),
    );
    const all = tf.transpose(tf.stack(images), [0, 3, 1, 2]) as tf.Tensor4D;
    return tf.sub(tf.div(tf.cast(all, 'float32'), 127.5), 1) as tf.Tensor4D;
  });
}
