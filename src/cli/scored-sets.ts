import { foldIn, integers, randomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
import { decodedImage, pictureOf } from '../data/encoded/image-file.js';
import {
  type ImageDataset,
  type ImageSize,
  imageDataset,
  labelBatch,
  pixelBatch,
} from '../data/index.js';
import { sizeOf } from '../data/source.js';
import type { Own } from './command.js';
import { imageSetForms, openImageSet } from './image-sets.js';

/** What {@link openScoredSet} takes, for help texts. */
export const scoredSetForms = `${imageSetForms}, noise, or constants`;

/**
 * Images of a set, from its beginning to its end, brought to the size of a model: scaled until they cover it and cut around the
 * middle, in grey where the model is grey. `noise` are grey levels drawn for each number, `constants` images
 * of one level for each channel.
 *
 * @throws UserError where there are none
 */
export async function openScoredSet(
  text: string,
  image: ImageSize,
  most: number | undefined,
  own: Own,
): Promise<ImageDataset> {
  const parts = { name: text, split: 'test' as const, image, classes: [], licence: 'none' };
  const size = sizeOf(image);
  if (text === 'noise' || text === 'constants') {
    const count = most ?? 1000;
    const drawn = integers(foldIn(randomKey(0), text), count * size, 0, 256);
    const area = size / image.channels;
    const pixels = Uint8Array.from(drawn, (level, i) =>
      text === 'noise' ? level : drawn[i - (i % area)]!,
    );
    return imageDataset({ ...parts, pixels, labels: new Int32Array(count).fill(-1) });
  }
  const set = own(await openImageSet(text, { asked: image }));
  const count = Math.min(most ?? set.length, set.length);
  const some = set.first(count);
  if (some instanceof tf.Tensor) {
    own(some);
    const values = await some.data();
    const levels = Uint8Array.from(values, (x) =>
      Math.min(255, Math.max(0, (x + 1) * 127.5 + 0.5)),
    );
    const pixels = await brought(levels, set.image, image);
    return imageDataset({ ...parts, pixels, labels: new Int32Array(count).fill(-1) });
  }
  const { data } = some;
  // The first ones of a split may all be of one class.
  const indices = Array.from({ length: count }, (_, i) => Math.floor((i * set.length) / count));
  const pixels = await brought(await pixelBatch(data, indices), set.image, image);
  const { split, classes } = data;
  const labels = labelBatch(data, indices);
  return imageDataset({ ...parts, name: data.name, split, classes, pixels, labels });
}

/** Images (count, channels, height, width) in the size of a model. */
async function brought(pixels: Uint8Array, from: ImageSize, to: ImageSize): Promise<Uint8Array> {
  if (Object.values(from).join() === Object.values(to).join()) return pixels;
  const [size, made] = [sizeOf(from), sizeOf(to)];
  const images = new Uint8Array((pixels.length / size) * made);
  for (let i = 0; i < images.length / made; i++) {
    const picture = pictureOf(pixels.subarray(i * size, (i + 1) * size), from);
    const encoded = { name: `image ${i}`, bytes: await picture.png().toBuffer() };
    images.set(await decodedImage(encoded, to, 'crop'), i * made);
  }
  return images;
}
