import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { UserError } from '../../core/errors.js';
import { FileUnreadable, readBytes } from '../../core/files.js';
import { decodeIdx } from '../../formats/idx.js';
import type { Split } from '../source.js';
import { type ImageDataset, imageDataset } from './memory.js';
import { isIn, lastOfEachClass } from './splits.js';

const size = 28 * 28;
const classes = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
];
/** Validation images of each class. */
const heldOut = 500;

/**
 * Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747), complete: 60,000 and 10,000 grey
 * 28×28 pictures of ten kinds of clothing, and of the 60,000 the last 500 of each class are the
 * validation split, which leaves 55,000. `train+validation` is the official training set.
 *
 * @throws UserError when the four IDX files are not in the cache folder, or are not the real ones
 */
export async function loadFashionMnist(split: Split): Promise<ImageDataset> {
  const inTest = split === 'test';
  const [prefix, length] = inTest ? ['t10k', 10_000] : ['train', 60_000];
  const [images, labels] = await Promise.all([
    readIdx(`${prefix}-images-idx3-ubyte.gz`, [length, 28, 28]),
    readIdx(`${prefix}-labels-idx1-ubyte.gz`, [length]),
  ]);
  const inValidation = lastOfEachClass(labels, new Array<number>(classes.length).fill(heldOut));
  const indices = Int32Array.from(labels.keys()).filter(
    (index) => inTest || isIn(split, inValidation[index]),
  );
  const pixels = new Uint8Array(new SharedArrayBuffer(indices.length * size));
  indices.forEach((index, at) => {
    pixels.set(images.subarray(index * size, (index + 1) * size), at * size);
  });
  return imageDataset({
    name: 'fashion-mnist',
    split,
    image: { channels: 1, height: 28, width: 28 },
    classes: [...classes],
    pixels,
    labels: indices.map((index) => labels[index] as number),
    licence: 'MIT (Zalando SE, https://github.com/zalandoresearch/fashion-mnist)',
  });
}

async function readIdx(name: string, shape: number[]): Promise<Uint8Array> {
  const file = path.join(cacheFolder(), 'data', 'fashion-mnist', name);
  let bytes: Uint8Array;
  try {
    bytes = await readBytes(file);
  } catch (error) {
    if (!(error instanceof FileUnreadable)) throw error;
    throw new UserError(
      `Fashion-MNIST is not complete: ${error.problem}`,
      'Run `node data-scripts/data.mjs fashion-mnist`',
    );
  }
  const decoded = decodeIdx(bytes, file);
  if (decoded.shape.join() !== shape.join()) {
    throw new UserError(
      `${file} has shape (${decoded.shape.join(', ')})`,
      `Expected (${shape.join(', ')}); delete it and run \`node data-scripts/data.mjs fashion-mnist\``,
    );
  }
  return decoded.data;
}
