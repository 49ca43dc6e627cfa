import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as zlib from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { writeSums } from '../../data-scripts/lib/files.mjs';
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

/** Of the pixels and labels of each split. Figures in results/ were measured on them. */
const expected: Record<string, Record<Split, string>> = {
  'fashion-mnist': {
    train: 'd46fcda05d6a300a',
    validation: 'be14b4a42242fb11',
    test: 'b040612cb3553ccf',
    'train+validation': 'da7ce154325b3dd7',
  },
  'mnist-10k-subset': {
    train: '04864746e06847de',
    validation: '235fc2dd7e320fc2',
    test: '868b5262a46b7ea2',
    'train+validation': 'aac33249b1b62d92',
  },
};

describe('every data set', () => {
  test('is expected here, or in a test of its own', () => {
    // Emoji and outliers are the workbook's, whose tests have run in this process before, or not.
    const others = /^(cifar10$|cifar10-grey|emoji-|grey-|fashion-mnist-mutated)/;
    const names = datasetNames.filter((name) => !others.test(name));
    expect(names.sort()).toEqual(Object.keys(expected));
  });

  test.each(Object.entries(expected))('never changes: %s', async (name, digests) => {
    for (const split of Object.keys(digests) as Split[]) {
      const dataset = await loadDataset(name, split);
      expect(dataset).toMatchObject({ name, split, image: { channels: 1, height: 28, width: 28 } });
      expect(dataset.licence).not.toBe('');
      const digest = createHash('sha256').update(dataset.pixels).update(dataset.labels);
      const { captions } = dataset;
      expect(digest.update(`${captions}`).digest('hex').slice(0, 16), split).toBe(digests[split]);
    }
  });
});

const counts = (dataset: ImageDataset) =>
  dataset.classes.map((_, label) => dataset.labels.filter((each) => each === label).length);
describe('fashion-mnist', () => {
  test('is the official one: ten classes of equal size, known first labels', async () => {
    const whole = await loadDataset('fashion-mnist', 'train+validation');
    expect(counts(whole)).toEqual(Array(10).fill(6_000));
    expect([...whole.labels.subarray(0, 10)]).toEqual([9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
    expect(whole.classes[9]).toBe('Ankle boot');
    const test = await loadDataset('fashion-mnist', 'test');
    expect([...test.labels.subarray(0, 10)]).toEqual([9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
  });

  test('the last 500 of each class are the validation split', async () => {
    const train = await loadDataset('fashion-mnist', 'train');
    const validation = await loadDataset('fashion-mnist', 'validation');
    expect(counts(train)).toEqual(Array(10).fill(5_500));
    expect(counts(validation)).toEqual(Array(10).fill(500));
    // Both keep the official order, so that the first images of training are the official ones.
    const whole = await loadDataset('fashion-mnist', 'train+validation');
    const first = ({ pixels }: ImageDataset) => pixels.subarray(0, 54_000 * 784);
    expect(Buffer.compare(first(train), first(whole))).toBe(0);
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

    test('one bit of a file that was fetched: the file is named', async () => {
      vi.stubEnv('TARFLOW_CACHE', folder);
      const digits = path.join(folder, 'data', 'mnist-10k-subset');
      fs.cpSync(path.join(official, '..', 'mnist-10k-subset'), digits, { recursive: true });
      await writeSums(digits);
      await loadDataset('mnist-10k-subset', 'test');
      const file = path.join(digits, '3.bin');
      const bytes = fs.readFileSync(file);
      bytes[bytes.length >> 1]! ^= 1;
      fs.writeFileSync(file, bytes);
      await expect(loadDataset('mnist-10k-subset', 'test')).rejects.toThrow(
        /3\.bin is damaged: its folder has to be deleted\. Run `npx tarflow data mnist-10k-subset`/,
      );
    });
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
