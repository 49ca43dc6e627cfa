import { foldIn, permutation, type RandomKey } from '../backend/random.js';
import { tf } from '../backend/tf.js';

/** The two parts that a data set is divided into. */
export type Split = 'train' | 'test';

/** Labelled images of one size, all in memory. Grey images have one channel, colour images three. */
export interface ImageDataset {
  name: string;
  split: Split;
  image: { channels: number; height: number; width: number };
  /** What the labels 0, 1, … stand for. */
  classes: string[];
  /** The number of images. */
  length: number;
  /** length · channels · height · width values 0 … 255, channel-first. */
  pixels: Uint8Array;
  /** One class index an image. */
  labels: Int32Array;
  /** What each image shows, in words, where the source says so: one an image. */
  captions?: string[];
  /** Under what terms the images may be used, and where they come from. */
  licence: string;
}

/**
 * The pixels of the images at `indices`, in that order: (batch, channels, height, width) in
 * row-major order, values 0 … 255.
 * @throws RangeError for an index outside the data set
 */
export function pixelBatch(dataset: ImageDataset, indices: ArrayLike<number>): Uint8Array {
  const { channels, height, width } = dataset.image;
  const size = channels * height * width;
  const batch = new Uint8Array(indices.length * size);
  for (let i = 0; i < indices.length; i++) {
    const index = checkedIndex(dataset, indices[i] as number);
    batch.set(dataset.pixels.subarray(index * size, (index + 1) * size), i * size);
  }
  return batch;
}

/**
 * The labels of the images at `indices`, in that order.
 * @throws RangeError for an index outside the data set
 */
export function labelBatch(dataset: ImageDataset, indices: ArrayLike<number>): Int32Array {
  return Int32Array.from(
    indices,
    (index) => dataset.labels[checkedIndex(dataset, index)] as number,
  );
}

/** Pixel values 0 … 255 as numbers in [−1, 1]: k becomes k/127.5 − 1 (TarFlow, section 2.5). */
export function toUnitRange(pixels: Uint8Array): Float32Array {
  return Float32Array.from(pixels, (value) => value / 127.5 - 1);
}

/**
 * The images at `indices` as a (batch, channels, height, width) tensor in [−1, 1], which the caller
 * owns.
 * @throws RangeError for an index outside the data set
 */
export function imagesTensor(dataset: ImageDataset, indices: ArrayLike<number>): tf.Tensor4D {
  const { channels, height, width } = dataset.image;
  const values = toUnitRange(pixelBatch(dataset, indices));
  return tf.tensor4d(values, [indices.length, channels, height, width]);
}

/**
 * The order in which an epoch visits a data set: a permutation of 0 … length − 1 that depends on
 * the key and the epoch alone, so a resumed run meets the images that it would have met.
 */
export function epochOrder(dataset: ImageDataset, key: RandomKey, epoch: number): Int32Array {
  return permutation(foldIn(foldIn(key, 'epoch'), epoch), dataset.length);
}

function checkedIndex(dataset: ImageDataset, index: number): number {
  if (!(Number.isInteger(index) && index >= 0 && index < dataset.length)) {
    throw new RangeError(
      `Image ${index} of ${dataset.name} (${dataset.split}): expected 0 to ${dataset.length - 1}.`,
    );
  }
  return index;
}
