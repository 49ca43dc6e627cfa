import { UserError } from '../core/errors.js';
import { shared } from './shared-memory.js';
import {
  batchOf,
  checkIndices,
  type DataSource,
  factsOf,
  type MemoryDescription,
  type RawBatch,
  sizeOf,
} from './source.js';

/** Labelled images of one size, all in memory. Grey images have one channel, colour images three. */
export interface ImageDataset extends DataSource {
  /** length · channels · height · width values 0 … 255, channel-first. */
  readonly pixels: Uint8Array;
  /** What each image shows, in words, where the source says so: one per image. */
  readonly captions?: string[];
  read(indices: ArrayLike<number>): RawBatch;
}

/** What an image data set is made of. */
export type ImageParts = Omit<MemoryDescription, 'kind'>;

/**
 * A data set of images in memory. Pixels and labels lie in memory that threads share; arrays that
 * do not are copied there.
 *
 * @throws UserError where pixels or captions are not as many as labels, and for a label of no class
 */
export function imageDataset(parts: ImageParts): ImageDataset {
  const { name, split, image, classes, captions, licence } = parts;
  const length = parts.labels.length;
  const size = sizeOf(image);
  if (parts.pixels.length !== length * size) {
    throw new UserError(
      `${name} has ${parts.pixels.length} values and ${length} labels`,
      `Expected ${size} values per image (${image.channels}×${image.height}×${image.width})`,
    );
  }
  const wrong = parts.labels.findIndex((label) => label < -1 || label >= classes.length);
  if (wrong >= 0 && classes.length > 0) {
    throw new UserError(
      `Image ${wrong} of ${name} has label ${parts.labels[wrong]}, and there are ${classes.length} classes`,
      `Expected 0 to ${classes.length - 1}, or -1 for none`,
    );
  }
  if (captions && captions.length !== length) {
    throw new UserError(
      `${name} has ${captions.length} captions and ${length} labels`,
      'Give one for each image, or none',
    );
  }
  // Field by field: what came may be another data set, with functions, which are not cloned.
  const description: MemoryDescription = {
    kind: 'memory',
    name,
    split,
    image,
    classes,
    pixels: shared(parts.pixels),
    labels: shared(parts.labels),
    licence,
    ...(captions && { captions }),
  };
  const { pixels } = description;
  return {
    ...factsOf(description),
    pixels,
    ...(captions && { captions }),
    read(indices) {
      checkIndices(this, indices);
      const values = rowsOf(pixels, size, indices);
      const batch = batchOf(description, indices, values);
      return { ...batch, ...(captions && { captions: Array.from(indices, (i) => captions[i]!) }) };
    },
  };
}

/** Rows of so many numbers each, in the order of their indices. */
export function rowsOf(rows: Uint8Array, size: number, indices: ArrayLike<number>): Uint8Array {
  const chosen = new Uint8Array(indices.length * size);
  for (let i = 0; i < indices.length; i++) {
    const first = indices[i]! * size;
    chosen.set(rows.subarray(first, first + size), i * size);
  }
  return chosen;
}
