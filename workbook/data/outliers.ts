import { foldIn, integers, randomKey, uniform } from '../../src/core/random.js';
import {
  type Datasets,
  type ImageDataset,
  imageDataset,
  loadDataset,
  registerDatasets,
  type Split,
} from '../../src/data/index.js';

const image = { channels: 1, height: 28, width: 28 };
const size = image.height * image.width;
const madeUp = { image, classes: [], licence: 'none: numbers drawn at random' };

/** Of the grey levels of a mutated image so many are others, as Ren et al. take them (arXiv 1906.02845). */
const mutatedShare = 0.1;

/** What flows of Fashion-MNIST are told apart from, in its size; and the images of a likelihood ratio. */
const outliers: Datasets = {
  /** A grey level for each pixel. */
  'grey-noise': async (split) => drawn('grey-noise', split, size),
  /** A grey level for each image. */
  'grey-constants': async (split) => drawn('grey-constants', split, 1),
  /** The middle of CIFAR-10's photographs, in grey. */
  'cifar10-grey': async (split) => grey(await loadDataset('cifar10', split)),
  /** Fashion-MNIST with a tenth of its grey levels drawn anew: its background, and little of what it shows. */
  'fashion-mnist-mutated': async (split) => mutated(await loadDataset('fashion-mnist', split)),
};

/** 1,000 images, each of so many grey levels that take turns. */
function drawn(name: string, split: Split, levels: number): ImageDataset {
  const count = 1000;
  const values = integers(foldIn(randomKey(0), `${name}, ${split}`), count * levels, 0, 256);
  const pixels = new Uint8Array(count * size).map(
    (_, i) => values[Math.floor(i / size) * levels + (i % levels)]!,
  );
  return imageDataset({ ...madeUp, name, split, pixels, labels: new Int32Array(count).fill(-1) });
}

function grey(photographs: ImageDataset): ImageDataset {
  const { pixels: colours, labels, split, classes, licence } = photographs;
  const side = photographs.image.width;
  const margin = (side - image.width) / 2;
  // The luma of ITU-R BT.601.
  const weights = [0.299, 0.587, 0.114];
  const pixels = new Uint8Array(labels.length * size).map((_, i) => {
    const [row, column] = [Math.floor((i % size) / image.width), i % image.width];
    const first = 3 * side * side * Math.floor(i / size);
    const at = first + (row + margin) * side + column + margin;
    return Math.round(
      weights.reduce((sum, weight, c) => sum + weight * colours[at + c * side * side]!, 0),
    );
  });
  return imageDataset({ name: 'cifar10-grey', split, image, classes, licence, pixels, labels });
}

function mutated(clothes: ImageDataset): ImageDataset {
  const pixels = new Uint8Array(clothes.pixels.length);
  for (let first = 0; first < pixels.length; first += size) {
    const key = foldIn(randomKey(0), first / size);
    const [chances, levels] = [uniform(key, size), integers(foldIn(key, 'level'), size, 0, 256)];
    for (let i = 0; i < size; i++) {
      const kept = chances[i]! >= mutatedShare;
      pixels[first + i] = kept ? clothes.pixels[first + i]! : levels[i]!;
    }
  }
  return imageDataset({ ...clothes, name: 'fashion-mnist-mutated', pixels });
}

registerDatasets(outliers);
