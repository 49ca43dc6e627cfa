import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as zlib from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { cacheFolder } from '../../src/core/cache-folder.js';
import { UserError } from '../../src/core/errors.js';
import { randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import {
  datasetNames,
  epochOrder,
  type ImageDataset,
  imageDataset,
  imagesTensor,
  labelBatch,
  loadDataset,
  pixelBatch,
  type Split,
  toUnitRange,
} from '../../src/data/index.js';
import { sharedFolder } from '../temporary-folder.js';

afterEach(() => vi.unstubAllEnvs());

const official = path.join(cacheFolder(), 'data', 'fashion-mnist');

describe('every data set', () => {
  const expected: Record<string, Record<Split, number>> = {
    'fashion-mnist': {
      train: 55_000,
      validation: 5_000,
      test: 10_000,
      'train+validation': 60_000,
    },
    'mnist-10k-subset': {
      train: 8_000,
      validation: 1_000,
      test: 1_000,
      'train+validation': 9_000,
    },
  };

  test('is expected here, or in a test of its own', () => {
    // Emoji are the workbook's, whose tests have run in this process before, or not.
    const names = datasetNames.filter((name) => !/^(cifar10$|emoji-)/.test(name));
    expect(names.sort()).toEqual(Object.keys(expected));
  });

  for (const [name, lengths] of Object.entries(expected)) {
    for (const split of Object.keys(lengths) as Split[]) {
      test(`${name}, ${split}: sizes, labels and pixels are what they should be`, async () => {
        const dataset = await loadDataset(name, split);
        const { channels, height, width } = dataset.image;
        expect(dataset).toMatchObject({ name, split, length: lengths[split] });
        expect([channels, height, width]).toEqual([1, 28, 28]);
        expect(dataset.labels.length).toBe(dataset.length);
        expect(dataset.pixels.length).toBe(dataset.length * channels * height * width);
        expect(new Set(dataset.labels)).toEqual(new Set(dataset.classes.keys()));
        expect(dataset.licence).not.toBe('');
        // Real pictures: all black to all white, a good part of it background.
        const histogram = new Uint32Array(256);
        for (const value of dataset.pixels) (histogram[value] as number)++;
        expect(histogram[0]).toBeGreaterThan(dataset.pixels.length * 0.3);
        expect(histogram[255]).toBeGreaterThan(0);
      });
    }
  }
});

const counts = (dataset: ImageDataset) =>
  dataset.classes.map((_, label) => dataset.labels.filter((each) => each === label).length);
const digest = ({ pixels }: ImageDataset) =>
  createHash('sha256').update(pixels).digest('hex').slice(0, 16);

describe('fashion-mnist', () => {
  test('is the official one: ten classes of equal size, known first labels', async () => {
    const whole = await loadDataset('fashion-mnist', 'train+validation');
    expect(counts(whole)).toEqual(Array(10).fill(6_000));
    expect([...whole.labels.subarray(0, 10)]).toEqual([9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
    expect(whole.classes[9]).toBe('Ankle boot');
    expect(digest(whole)).toBe('2e487a6c89124f78');
    const test = await loadDataset('fashion-mnist', 'test');
    expect([...test.labels.subarray(0, 10)]).toEqual([9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
  });

  test('the last 500 of each class are the validation split, which never changes', async () => {
    const train = await loadDataset('fashion-mnist', 'train');
    const validation = await loadDataset('fashion-mnist', 'validation');
    expect(counts(train)).toEqual(Array(10).fill(5_500));
    expect(counts(validation)).toEqual(Array(10).fill(500));
    // Both keep the official order, so that the first images of training are the official ones.
    const whole = await loadDataset('fashion-mnist', 'train+validation');
    const first = ({ pixels }: ImageDataset) => pixels.subarray(0, 54_000 * 784);
    expect(Buffer.compare(first(train), first(whole))).toBe(0);
    expect([digest(train), digest(validation)]).toEqual(['f1579baf803d85c5', '60465f61b0ad8a81']);
  });

  describe('with a cache folder that lacks something', () => {
    const folder = sharedFolder();
    const data = path.join(folder, 'data', 'fashion-mnist');
    test('missing files: the file and the command that fetches it are named', async () => {
      vi.stubEnv('TARFLOW_CACHE', folder);
      const error = await loadDataset('fashion-mnist', 'test').catch((e) => e);
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toContain(path.join(data, 't10k-'));
      expect(error.message).toContain('npx tarflow data fashion-mnist');
    });

    test('another set under its name: the shape is named', async () => {
      vi.stubEnv('TARFLOW_CACHE', folder);
      fs.mkdirSync(data, { recursive: true });
      const tiny = zlib.gzipSync(Buffer.from([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7]));
      fs.writeFileSync(path.join(data, 't10k-images-idx3-ubyte.gz'), tiny);
      fs.copyFileSync(
        path.join(official, 't10k-labels-idx1-ubyte.gz'),
        path.join(data, 't10k-labels-idx1-ubyte.gz'),
      );
      await expect(loadDataset('fashion-mnist', 'test')).rejects.toThrow(
        /t10k-images.*\(1, 1, 1\).*Expected \(10000, 28, 28\)/,
      );
    });
  });
});

describe('mnist-10k-subset', () => {
  test('the split is stratified, disjoint, complete, and never changes', async () => {
    const train = await loadDataset('mnist-10k-subset', 'train');
    const test = await loadDataset('mnist-10k-subset', 'test');
    const validation = await loadDataset('mnist-10k-subset', 'validation');
    const heldOut = [100, 113, 99, 103, 98, 86, 102, 107, 94, 98];
    expect(counts(test)).toEqual(heldOut);
    expect(counts(validation)).toEqual(heldOut);
    expect(counts(train)).toEqual([801, 901, 793, 826, 784, 691, 810, 856, 756, 782]);
    const images = [train, validation, test].flatMap((dataset) =>
      Array.from({ length: dataset.length }, (_, i) =>
        Buffer.from(pixelBatch(dataset, [i])).toString('latin1'),
      ),
    );
    expect(new Set(images).size).toBe(10_000);
    // Figures in results/ were measured on this split.
    expect([digest(test), digest(validation), digest(train)]).toEqual([
      '6887f98b6e063fe0',
      'bd8da6d3d04a421c',
      'e1223b4c4558977e',
    ]);
    // What the first models were trained on.
    expect(digest(await loadDataset('mnist-10k-subset', 'train+validation'))).toBe(
      '6e3ef9f9e83e0193',
    );
  });
});

describe('batches', () => {
  const dataset = imageDataset({
    name: 'tiny',
    split: 'train',
    image: { channels: 3, height: 1, width: 2 },
    classes: ['a', 'b'],
    pixels: Uint8Array.from({ length: 24 }, (_, i) => 10 * i),
    labels: Int32Array.of(0, 1, 1, 0),
    licence: '',
  });

  test('hold the images asked for, in that order', () => {
    const batch = pixelBatch(dataset, Int32Array.of(2, 0, 2));
    expect([...batch]).toEqual(
      [2, 0, 2].flatMap((i) => [...dataset.pixels.slice(6 * i, 6 * i + 6)]),
    );
    expect([...labelBatch(dataset, [2, 0, 2])]).toEqual([1, 0, 1]);
    expect(pixelBatch(dataset, [])).toEqual(new Uint8Array());
  });

  test.each([-1, 4, 0.5, Number.NaN])('refuse index %s', (index) => {
    expect(() => pixelBatch(dataset, [index])).toThrow(/tiny \(train\): expected 0 to 3/);
    expect(() => labelBatch(dataset, [index])).toThrow(RangeError);
  });

  test('toUnitRange maps 0 to -1, 255 to 1, and every value back to itself', () => {
    const all = Uint8Array.from({ length: 256 }, (_, k) => k);
    const unit = toUnitRange(all);
    expect(unit[0]).toBe(-1);
    expect(unit[255]).toBe(1);
    expect(unit[51]).toBe(Math.fround(51 / 127.5 - 1));
    expect(unit.map((x) => Math.round((x + 1) * 127.5))).toEqual(Float32Array.from(all));
  });

  test('imagesTensor is channel-first, in [-1, 1], and the only tensor made', () => {
    const before = tf.memory().numTensors;
    const images = imagesTensor(dataset, [1, 3]);
    expect(images.shape).toEqual([2, 3, 1, 2]);
    expect([...images.dataSync()]).toEqual([...toUnitRange(pixelBatch(dataset, [1, 3]))]);
    expect(tf.memory().numTensors).toBe(before + 1);
    images.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('epochOrder is a permutation that depends on key and epoch alone', () => {
    const big = { length: 1_000 };
    const order = epochOrder(big, randomKey(3), 5);
    expect([...order].sort((a, b) => a - b)).toEqual([...Array(1_000).keys()]);
    expect(epochOrder(big, randomKey(3), 5)).toEqual(order);
    expect(epochOrder(big, randomKey(3), 6)).not.toEqual(order);
    expect(epochOrder(big, randomKey(4), 5)).not.toEqual(order);
  });
});

test('an unknown name lists the known ones; so does an unknown split', async () => {
  await expect(loadDataset('cifar', 'train')).rejects.toThrow(
    /'cifar'\. Did you mean cifar10\? Expected one of fashion-mnist, .*, imagenet:PATH/,
  );
  await expect(loadDataset('toString', 'train')).rejects.toBeInstanceOf(UserError);
  await expect(loadDataset('fashion-mnist', 'valid' as Split)).rejects.toThrow(
    /'valid'.*Expected one of train, validation, test, train\+validation/,
  );
});

describe('the cache folder', () => {
  test('is TARFLOW_CACHE, else tarflow in XDG_CACHE_HOME, else ~/.cache/tarflow', () => {
    vi.stubEnv('TARFLOW_CACHE', '/somewhere');
    vi.stubEnv('XDG_CACHE_HOME', '/xdg');
    expect(cacheFolder()).toBe(path.resolve('/somewhere'));
    vi.stubEnv('TARFLOW_CACHE', '');
    expect(cacheFolder()).toBe(path.join('/xdg', 'tarflow'));
    vi.stubEnv('XDG_CACHE_HOME', 'relative');
    expect(cacheFolder()).toBe(path.join(os.homedir(), '.cache', 'tarflow'));
    vi.stubEnv('XDG_CACHE_HOME', '');
    expect(cacheFolder()).toBe(path.join(os.homedir(), '.cache', 'tarflow'));
  });
});
