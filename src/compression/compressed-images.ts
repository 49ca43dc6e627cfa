import { createHash } from 'node:crypto';
import * as zlib from 'node:zlib';
import { UserError } from '../core/errors.js';
import { foldIn, integers, randomKey } from '../core/random.js';
import { dimensions, type Model } from '../flow/model.js';
import { AnsStack, CodingError } from './ans-stack.js';
import { FlowCoder } from './flow-coder.js';

/** Images as a message that a flow decodes. */
export interface CompressedImages {
  /** Images that are computed side by side. */
  batch: number;
  /** Classes of the images; absent where the flow was told none. */
  label?: number[] | undefined;
  /** How many images, the last ones, are the bits that the first batch borrows, and in how many bytes. */
  lent: { images: number; bytes: number };
  /** What the flow predicts of numbers made up for it, see {@link FlowCoder.arithmetic}. */
  arithmetic: string;
  /** SHA-256 of the grey levels (count, channels, height, width). */
  checksum: string;
  code: Uint8Array;
}

/** Called with the share done, 0 to 1. */
type OnProgress = (share: number) => void;

export interface CompressOptions {
  label?: number[] | undefined;
  /** Images computed side by side. More are faster, and each of the first batch borrows bits. */
  batch?: number | undefined;
  onProgress?: OnProgress;
}

/** So many images side by side are nearly as fast as more. */
const mostAtOnce = 16;
/** For so many images there is one more side by side, so that what is borrowed is a small part of all. */
const imagesOfRow = 25;

/**
 * Compresses images without loss, to about as many bits as their density under a flow says, and decodes
 * them at once to be sure.
 *
 * @param levels grey levels (count, channels, height, width)
 * @returns the message, and how many bits were borrowed beyond those of images
 * @throws UserError for a model without blocks, for images so far from its own that latents overflow, and
 *   where the engine does not compute the same twice
 */
export async function compressImages(
  model: Model,
  levels: Uint8Array,
  { label, batch: asked, onProgress }: CompressOptions = {},
): Promise<CompressedImages & { borrowedBits: number }> {
  const size = dimensions(model.config);
  const count = levels.length / size;
  const batch = asked ?? Math.min(mostAtOnce, Math.ceil(count / imagesOfRow));
  const coder = new FlowCoder(model, batch);
  const { bytes, images } = lentImages(levels, size, batch);
  const stack = new AnsStack(bytes, borrowedWord);
  for (const [first, end] of batches(count - images, batch)) {
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
  const compressed = {
    batch,
    label,
    lent: { images, bytes: bytes.length },
    arithmetic: await coder.arithmetic(),
    checksum: checksumOf(levels),
    code: stack.bytes(),
  };
  await decompressImages(model, compressed, count, (share) => onProgress?.((1 + share) / 2));
  return { ...compressed, borrowedBits: 16 * stack.borrowed };
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
  message: CompressedImages,
  count: number,
  onProgress?: OnProgress,
): Promise<Uint8Array> {
  const coder = new FlowCoder(model, message.batch);
  if ((await coder.arithmetic()) === message.arithmetic) {
    const levels = await decoded(coder, message, count, dimensions(model.config), onProgress);
    if (levels && checksumOf(levels) === message.checksum) return levels;
  }
  throw new UserError(
    'These images cannot be decoded: the arithmetic is another than that by which they were compressed',
    'Take the same engine in the same version, and a processor of the same kind',
  );
}

/** What the stack of a message gives; nothing where that is no images. */
async function decoded(
  coder: FlowCoder,
  { batch, label, lent, code }: CompressedImages,
  count: number,
  size: number,
  onProgress?: OnProgress,
): Promise<Uint8Array | undefined> {
  const levels = new Uint8Array(count * size);
  const byFlow = count - lent.images;
  try {
    const stack = AnsStack.of(code);
    for (const [first, end] of batches(byFlow, batch).reverse()) {
      levels.set(await coder.pop(stack, end - first, label?.slice(first, end)), first * size);
      onProgress?.((byFlow - first) / count);
    }
    const rest = zlib.brotliDecompressSync(stack.top(lent.bytes));
    if (rest.length !== lent.images * size) return undefined;
    levels.set(rest, byFlow * size);
    return levels;
  } catch (error) {
    // Brotli's errors are these.
    if (error instanceof CodingError || /^(ERR_|Z_)/.test(Object(error).code)) return undefined;
    throw error;
  }
}

function checksumOf(levels: Uint8Array): string {
  return createHash('sha256').update(levels).digest('hex');
}

/** The images first … end − 1 of each batch. */
function batches(count: number, batch: number): [first: number, end: number][] {
  return Array.from({ length: Math.ceil(count / batch) }, (_, index) => [
    index * batch,
    Math.min(count, (index + 1) * batch),
  ]);
}

/** About so many bits the first batch borrows for each number of an image. */
const bitsBorrowed = 12;

/** The last images by themselves, as many as make up the bits that the first batch borrows. */
function lentImages(levels: Uint8Array, size: number, batch: number) {
  const count = levels.length / size;
  const wanted = (Math.min(batch, count) * size * bitsBorrowed) / 8;
  let images = Math.min(count, Math.ceil(wanted / size));
  for (;;) {
    const bytes = zlib.brotliCompressSync(levels.subarray((count - images) * size));
    if (bytes.length >= wanted || images === count) return { images, bytes };
    images = Math.min(count, Math.max(images + 1, Math.ceil((images * wanted) / bytes.length)));
  }
}

/** What is borrowed beyond images: made-up words, by their number. */
function borrowedWord(index: number): number {
  return integers(foldIn(randomKey(0), index), 1, 0, 2 ** 16)[0]!;
}
