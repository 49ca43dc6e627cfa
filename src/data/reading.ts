import { checkGiven, UserError } from '../core/errors.js';
import { foldIn, permutation, type RandomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
import type { ImageDataset } from './memory.js';
import { checkIndices, type DataSource, labelsAt, type RawBatch } from './source.js';

/**
 * The pixels of the images at `indices`, in that order: (batch, channels, height, width) in
 * row-major order, values 0 … 255. A promise where the source reads files.
 *
 * @throws RangeError for an index outside the source; UserError where it holds no pixels
 */
export function pixelBatch(data: ImageDataset, indices: ArrayLike<number>): Uint8Array;
export function pixelBatch(
  data: DataSource,
  indices: ArrayLike<number>,
): Uint8Array | Promise<Uint8Array>;
export function pixelBatch(
  data: DataSource,
  indices: ArrayLike<number>,
): Uint8Array | Promise<Uint8Array> {
  return andThen(data.read(indices), ({ values }) => {
    if (values instanceof Uint8Array) return values;
    throw new UserError(`${data.name} holds latents`, 'Expected a data set of images');
  });
}

/**
 * The labels of the samples at `indices`, in that order; no sample is read for them.
 * @throws RangeError for an index outside the source
 */
export function labelBatch(data: DataSource, indices: ArrayLike<number>): Int32Array {
  checkIndices(data, indices);
  return labelsAt(data.labels, indices);
}

/** Pixel values 0 … 255 as numbers in [−1, 1]: k becomes k/127.5 − 1, as in TarFlow's published code. */
export function toUnitRange(pixels: Uint8Array): Float32Array {
  return Float32Array.from(pixels, (value) => value / 127.5 - 1);
}

/**
 * The samples at `indices` as a (batch, channels, height, width) tensor, which the caller owns:
 * images in [−1, 1], latents as they are. A promise where the source reads files.
 *
 * @throws RangeError for an index outside the source
 *
 * @example
 * ```ts
 * import { imagesTensor, loadDataset, startEngine } from 'tarflow';
 *
 * await startEngine();
 * const data = await loadDataset('fashion-mnist', 'validation');
 * const x = imagesTensor(data, [0, 1, 2]);
 * console.log(x.shape); // [ 3, 1, 28, 28 ]
 * ```
 */
export function imagesTensor(data: ImageDataset, indices: ArrayLike<number>): tf.Tensor4D;
export function imagesTensor(
  data: DataSource,
  indices: ArrayLike<number>,
): tf.Tensor4D | Promise<tf.Tensor4D>;
export function imagesTensor(
  data: DataSource,
  indices: ArrayLike<number>,
): tf.Tensor4D | Promise<tf.Tensor4D> {
  checkGiven('The data set', data, 'read');
  return andThen(data.read(indices), batchTensor);
}

/** What was read, as {@link imagesTensor} gives it. */
export function batchTensor({ count, image, values }: RawBatch): tf.Tensor4D {
  const numbers = values instanceof Uint8Array ? toUnitRange(values) : values;
  return tf.tensor4d(numbers, [count, image.channels, image.height, image.width]);
}

/**
 * The order in which an epoch visits a data set: a permutation of 0 … length − 1 that depends on
 * the key and the epoch alone, so a resumed run meets the images that it would have met.
 */
export function epochOrder(
  { length }: Pick<DataSource, 'length'>,
  key: RandomKey,
  epoch: number,
): Int32Array {
  return permutation(foldIn(foldIn(key, 'epoch'), epoch), length);
}

function andThen<T>(raw: RawBatch | Promise<RawBatch>, f: (raw: RawBatch) => T): T | Promise<T> {
  return raw instanceof Promise ? raw.then(f) : f(raw);
}
