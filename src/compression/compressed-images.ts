import { createHash } from 'node:crypto';
import { UserError } from '../core/errors.js';
import { dimensions, type Model } from '../flow/model.js';
import { AnsStack, CodingError } from './ans-stack.js';
import { FlowCoder } from './flow-coder.js';

/** Images as a message that a flow decodes. */
export interface CompressedImages {
  /** The most images that are computed side by side. */
  batch: number;
  /** Classes of the images; absent where the flow was told none. */
  label?: number[] | undefined;
  /** SHA-256 of the grey levels (count, channels, height, width). */
  checksum: string;
  code: Uint8Array;
}

/** Called with the share done, 0 to 1. */
type OnProgress = (share: number) => void;

export interface CompressOptions {
  label?: number[] | undefined;
  /** The most images computed side by side: more are faster. Default 16. */
  batch?: number | undefined;
  onProgress?: OnProgress;
}

/**
 * Compresses images without loss, to about as many bits as their density under a flow says, and decodes
 * them at once to be sure.
 *
 * @param levels grey levels (count, channels, height, width)
 * @returns the message, and how many of its bits were borrowed before there were any
 * @throws UserError for a model without blocks, for images so far from its own that latents overflow, and
 *   where the engine does not compute the same twice
 */
export async function compressImages(
  model: Model,
  levels: Uint8Array,
  { label, batch = 16, onProgress }: CompressOptions = {},
): Promise<CompressedImages & { borrowedBits: number }> {
  const size = dimensions(model.config);
  const count = levels.length / size;
  const coder = new FlowCoder(model);
  const stack = new AnsStack();
  for (const [first, end] of batches(count, batch)) {
    try {
      await coder.push(stack, levels.subarray(first * size, end * size), label?.slice(first, end));
    } catch (error) {
      if (!(error instanceof CodingError)) throw error;
      throw new UserError(
        `Of images ${first} to ${end - 1} one is too far from those of the model (${error.message})`,
        'Leave it out, or take a model of such images',
      );
    }
    onProgress?.(end / count / 2);
  }
  const compressed = { batch, label, checksum: checksumOf(levels), code: stack.bytes() };
  await decompressImages(model, compressed, count, (share) => onProgress?.((1 + share) / 2));
  return { ...compressed, borrowedBits: stack.borrowedBits };
}

/**
 * The images of a message, exactly.
 *
 * @returns grey levels (count, channels, height, width)
 * @throws UserError where the engine or the processor computes otherwise than when the message was made, so
 *   that other images would come
 */
export async function decompressImages(
  model: Model,
  { batch, label, checksum, code }: CompressedImages,
  count: number,
  onProgress?: OnProgress,
): Promise<Uint8Array> {
  const size = dimensions(model.config);
  const coder = new FlowCoder(model);
  const levels = new Uint8Array(count * size);
  try {
    const stack = AnsStack.of(code);
    for (const [first, end] of batches(count, batch).reverse()) {
      levels.set(await coder.pop(stack, end - first, label?.slice(first, end)), first * size);
      onProgress?.((count - first) / count);
    }
    if (checksumOf(levels) === checksum) return levels;
  } catch (error) {
    if (!(error instanceof CodingError)) throw error;
  }
  throw new UserError(
    'These images cannot be decoded: the arithmetic is another than that by which they were compressed',
    'Take the same engine in the same version, and a processor of the same kind',
  );
}

function checksumOf(levels: Uint8Array): string {
  return createHash('sha256').update(levels).digest('hex');
}

/** What an image takes from the stack at first is left there by about so many images before it. */
const imagesBefore = 5;

/**
 * The images first … end − 1 of each batch. A batch pops before it pushes, and what is not on the stack yet
 * has to be borrowed, which only makes a message longer: so batches begin with one image and double.
 */
function batches(count: number, most: number): [first: number, end: number][] {
  const all: [number, number][] = [];
  let size = 1;
  for (let first = 0; first < count; first += size) {
    if (2 * size <= most && 2 * size * imagesBefore <= first) size *= 2;
    all.push([first, Math.min(count, first + size)]);
  }
  return all;
}
