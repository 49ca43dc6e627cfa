import type { ImageSize, SourceDescription, SourceFacts } from './description.js';

export {
  type CaptionFacts,
  type ImageSize,
  type SourceDescription,
  type SourceFacts,
  type Split,
  splits,
} from './description.js';

/** Some samples of a source, before noise. */
export interface RawBatch {
  /** The number of samples. */
  count: number;
  image: ImageSize;
  /**
   * (count, channels, height, width), row by row: grey levels 0 … 255, or numbers as they are (latents).
   */
  values: Uint8Array | Float32Array;
  /** One class index per sample; −1 where it has none. */
  labels: Int32Array;
  /** What each sample shows, in words, where the source says so. */
  captions?: readonly string[];
  /** The states of captions (count, entries, width), and of the empty one (entries, width). */
  text?: { states: Float32Array; empty: Float32Array };
}

/** Samples of one size with random access by index, wherever they lie. */
export interface DataSource extends Readonly<SourceFacts> {
  /** The number of samples. */
  readonly length: number;
  /**
   * What another thread needs to open the same source. A structured clone of it copies no sample: large
   * arrays are shared.
   */
  readonly description: SourceDescription;
  /**
   * The samples at `indices`, in that order: a promise where they come from files.
   *
   * @throws RangeError for an index outside the source; UserError, or a promise that is rejected
   *   with one, for a file that cannot be read
   */
  read(indices: ArrayLike<number>): RawBatch | Promise<RawBatch>;
  /**
   * Names of the images that were found damaged so far, in this thread; absent where there are no
   * encoded images. Another image of its class stands in for each.
   */
  readonly damaged?: ReadonlySet<string>;
  /** Says what is read next, so that it can be made ready meanwhile; absent where that is no gain. */
  prefetch?(indices: ArrayLike<number>): void;
}

/**
 * Checks indices before they are read.
 * @throws RangeError for the first one outside the source
 */
export function checkIndices(
  { name, split, length }: Pick<DataSource, 'name' | 'split' | 'length'>,
  indices: ArrayLike<number>,
): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number;
    if (Number.isInteger(index) && index >= 0 && index < length) continue;
    throw new RangeError(`Sample ${index} of ${name} (${split}): expected 0 to ${length - 1}.`);
  }
}

/** The numbers of a sample. */
export function sizeOf({ channels, height, width }: ImageSize): number {
  return channels * height * width;
}

/** The same numbers in memory that threads share; the array itself where it lies there already. */
export function shared(array: Uint8Array): Uint8Array;
export function shared(array: Int32Array): Int32Array;
export function shared(array: Float32Array): Float32Array;
export function shared(array: Float64Array): Float64Array;
export function shared<A extends Uint8Array | Int32Array | Float32Array | Float64Array>(
  array: A,
): A {
  if (array.buffer instanceof SharedArrayBuffer) return array;
  const kind = array.constructor as new (buffer: SharedArrayBuffer) => A;
  const copy = new kind(new SharedArrayBuffer(array.byteLength));
  copy.set(array);
  return copy;
}
