import * as path from 'node:path';
import { cacheFolder } from '../backend/cache-folder.js';
import { UserError } from '../backend/errors.js';
import { FileUnreadable, readBytes } from '../backend/files.js';
import { decodeIdx } from '../formats/idx.js';
import type { ImageDataset, Split } from './dataset.js';

const parts = {
  train: { prefix: 'train', length: 60_000 },
  test: { prefix: 't10k', length: 10_000 },
};

/**
 * Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747), complete, in its official split:
 * 60,000 and 10,000 grey 28×28 pictures of ten kinds of clothing.
 *
 * @throws UserError when the four IDX files are not in the cache folder, or are not the real ones
 */
export async function loadFashionMnist(split: Split): Promise<ImageDataset> {
  const { prefix, length } = parts[split];
  const [images, labels] = await Promise.all([
    readIdx(`${prefix}-images-idx3-ubyte.gz`, [length, 28, 28]),
    readIdx(`${prefix}-labels-idx1-ubyte.gz`, [length]),
  ]);
  return {
    name: 'fashion-mnist',
    split,
    image: { channels: 1, height: 28, width: 28 },
    classes: [
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
    ],
    length,
    pixels: images,
    labels: Int32Array.from(labels),
    licence: 'MIT (Zalando SE, https://github.com/zalandoresearch/fashion-mnist)',
  };
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
