import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { type ImageDataset, imageDataset, rowsOf } from '../memory.js';
import { labelsAt, type Split } from '../source.js';
import { splitIndices } from '../splits.js';
import { cachedIdx } from './cached-file.js';

const size = 28 * 28;
const classNames =
  'T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot';
const classes = classNames.split(', ');
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
  const [prefix, length] = split === 'test' ? ['t10k', 10_000] : ['train', 60_000];
  const [images, labels] = await Promise.all([
    readIdx(`${prefix}-images-idx3-ubyte.gz`, [length, 28, 28]),
    readIdx(`${prefix}-labels-idx1-ubyte.gz`, [length]),
  ]);
  const indices = splitIndices(split, labels, { classes: classes.length, heldOut });
  return imageDataset({
    name: 'fashion-mnist',
    split,
    image: { channels: 1, height: 28, width: 28 },
    classes: [...classes],
    pixels: rowsOf(images, size, indices),
    labels: labelsAt(labels, indices),
    licence: 'MIT (Zalando SE, https://github.com/zalandoresearch/fashion-mnist)',
  });
}

function readIdx(name: string, shape: readonly number[]): Promise<Uint8Array> {
  return cachedIdx(
    {
      file: path.join(cacheFolder(), 'data', 'fashion-mnist', name),
      problem: 'Fashion-MNIST is not complete',
      remedy: 'Run `npx tarflow data fashion-mnist`',
    },
    shape,
  );
}
