import { UserError } from '../../core/errors.js';
import type { MemoryDescription } from '../description.js';
import { checkIndices, type DataSource, type RawBatch, shared, sizeOf } from '../source.js';

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
 * @throws UserError where pixels or captions are not as many as labels
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
  if (captions && captions.length !== length) {
    throw new UserError(
      `${name} has ${captions.length} captions and ${length} labels`,
      'Give one for each image, or none',
    );
  }
  const [pixels, labels] = [shared(parts.pixels), shared(parts.labels)];
  // Field by field: what came may be another data set, with functions, which are not cloned.
  const facts = {
    ...{ name, split, image, classes, pixels, labels, licence },
    ...(captions && { captions }),
  };
  return {
    ...facts,
    length,
    description: { kind: 'memory', ...facts },
    read(indices) {
      checkIndices(this, indices);
      const values = new Uint8Array(indices.length * size);
      for (let i = 0; i < indices.length; i++) {
        const first = (indices[i] as number) * size;
        values.set(pixels.subarray(first, first + size), i * size);
      }
      return {
        count: indices.length,
        image,
        values,
        labels: Int32Array.from(indices, (index) => labels[index] as number),
        ...(captions && { captions: Array.from(indices, (index) => captions[index] as string) }),
      };
    },
  };
}
