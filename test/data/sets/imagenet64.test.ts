import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import { openDataset, type Split } from '../../../src/data/index.js';
import { sourceOf } from '../../../src/data/open.js';
import { int64, npyOf, npzOf } from '../../formats/npz-writer.js';
import { tarOf } from '../../formats/tar-writer.js';
import { levelsOf, madeSet, picture } from './made-set.js';

const { root, cache, write } = madeSet();
const open = (split: Split) => openDataset(`imagenet64:${root}`, split);
const size = 3 * 64 * 64;
const address = 'Get downsampled ImageNet 64×64 from https://image-net.org/download. Expected in';

/** Rows of bytes: the first number of a row says which it is, the others follow from it. */
function rowsOf(levels: readonly number[]): Uint8Array {
  const rows = new Uint8Array(levels.length * size);
  levels.forEach((level, i) => {
    for (let j = 0; j < size; j++) rows[i * size + j] = (level + j) % 256;
  });
  return rows;
}

function arrays(levels: readonly number[], labels: readonly number[]) {
  return {
    data: npyOf('|u1', [levels.length, size], rowsOf(levels)),
    labels: npyOf('<i8', [labels.length], int64(labels)),
  };
}

/** Thirty images in ten files: twenty of the class 7, ten of the class 1000. */
const levels = Array.from({ length: 30 }, (_, i) => i + 5);
const labels = levels.map((_, i) => (i < 10 ? 1000 : 7));
const all = levels.map((level, i): [number, number] => [level, (labels[i] as number) - 1]);
const heldOut = [9, 28, 29];

function writeBatches({
  compressed = [] as number[],
  where = (_: number): string => '',
} = {}): void {
  for (let i = 0; i < 10; i++) {
    const part = [3 * i, 3 * i + 3] as const;
    const content = arrays(levels.slice(...part), labels.slice(...part));
    const name = path.join(where(i), `train_data_batch_${i + 1}.npz`);
    write(name, npzOf(content, { compressed: compressed.includes(i) }));
  }
}

describe('arrays of NumPy', () => {
  test.each([
    ['in the folder', {}],
    ['in folders of parts', { where: (i: number) => (i < 5 ? 'part1' : 'part2') }],
    ['in part compressed', { compressed: [1, 7] }],
  ])('%s', async (_what, options) => {
    writeBatches(options);
    const whole = await open('train+validation');
    expect(whole).toMatchObject({
      name: 'imagenet64',
      image: { channels: 3, height: 64, width: 64 },
    });
    expect(whole.classes.length).toBe(1000);
    expect([whole.classes[6], whole.classes[999]]).toEqual(['7', '1000']);
    expect(await levelsOf(whole)).toEqual(all);
    expect(await levelsOf(await open('validation'))).toEqual(heldOut.map((i) => all[i]));
    const train = await open('train');
    expect(await levelsOf(train)).toEqual(all.filter((_, i) => !heldOut.includes(i)));
    // All numbers, and from another thread.
    const again = sourceOf(structuredClone(train.description));
    const { values } = await again.read([26, 0, 26]);
    expect(Buffer.compare(values as Uint8Array, rowsOf([32, 5, 32]))).toBe(0);
  });

  test('the official validation images are the split test', async () => {
    write('val_data.npz', npzOf(arrays([1, 2], [3, 4])));
    expect(await levelsOf(await open('test'))).toEqual([
      [1, 2],
      [2, 3],
    ]);
  });

  test('classes are called by WordNet ids where their list lies beside', async () => {
    write('val_data.npz', npzOf(arrays([1], [2])));
    write('part/map_clsloc.txt', 'n02119789 1 kit_fox\nn02100735 2 English_setter\n');
    expect((await open('test')).classes.slice(0, 3)).toEqual(['n02119789', 'n02100735', '3']);
  });

  test('what is compressed is unpacked once', async () => {
    writeBatches({ compressed: [0] });
    await open('train');
    const folder = path.join(cache, 'data', 'imagenet64');
    const first = fs.readdirSync(folder).map((name) => fs.statSync(path.join(folder, name)).ino);
    await open('validation');
    const second = fs.readdirSync(folder).map((name) => fs.statSync(path.join(folder, name)).ino);
    expect(first.length).toBe(2);
    expect(second).toEqual(first);
  });

  test('indices outside are refused', async () => {
    write('val_data.npz', npzOf(arrays([1], [2])));
    await expect((await open('test')).read([1])).rejects.toThrow(RangeError);
  });

  test('a file that has become shorter is refused', async () => {
    const file = write('val_data.npz', npzOf(arrays([1, 2], [3, 4])));
    const data = await open('test');
    fs.truncateSync(file, 2000);
    await expect(data.read([1])).rejects.toThrow(`${file} ends before byte`);
  });
});

describe('PNG files without labels', () => {
  const names = Array.from({ length: 30 }, (_, i) => `${String(1000 - i)}.png`);
  const inOrder = [...names].sort();
  const level = (name: string) => Number(name.slice(0, -4)) % 256;

  const forms: Record<string, (folder: string) => Promise<void>> = {
    'in folders': async (folder) => {
      for (const name of names) {
        write(`${folder}/${name}`, await picture(level(name), { width: 64, height: 64 }));
      }
    },
    'in archives': async (folder) => {
      const files = await Promise.all(
        names.map(async (name) => ({
          name: `${folder}/${name}`,
          content: await picture(level(name), { width: 64, height: 64 }),
        })),
      );
      write(`${folder}.tar`, tarOf([{ name: `${folder}/`, content: '', type: '5' }, ...files]));
    },
  };

  test.each(Object.keys(forms))('%s', async (form) => {
    await forms[form]?.('train_64x64');
    await forms[form]?.('valid_64x64');
    const levels = inOrder.map((name): [number, number] => [level(name), -1]);
    const whole = await open('train+validation');
    expect(whole).toMatchObject({ classes: [], image: { channels: 3, height: 64, width: 64 } });
    expect(await levelsOf(whole)).toEqual(levels);
    expect(await levelsOf(await open('train'))).toEqual(levels.slice(0, 27));
    expect(await levelsOf(await open('validation'))).toEqual(levels.slice(27));
    expect(await levelsOf(await open('test'))).toEqual(levels);
  });
});

describe('what is missing or wrong is told', () => {
  const refused = async (split: Split = 'test'): Promise<string> => {
    const error = await open(split).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    return error.message;
  };

  test('an empty folder, and one of ten files', async () => {
    expect(await refused('train')).toContain('has neither train_data_batch_1.npz nor images in');
    expect(await refused('train')).toContain(address);
    expect(await refused('test')).toContain(address);
    writeBatches();
    fs.rmSync(path.join(root, 'train_data_batch_4.npz'));
    expect(await refused('train')).toContain(`${root} lacks train_data_batch_4.npz. ${address}`);
  });

  const one = npyOf('<i8', [1], int64([1]));
  test.each([
    [
      'another width',
      { data: npyOf('|u1', [1, 3072], new Uint8Array(3072)), labels: one },
      /\(1, 3072\) of \|u1 where \(n, 12288\)/,
    ],
    [
      'another type',
      { data: npyOf('<f4', [1, 3072], new Uint8Array(size)), labels: one },
      /of <f4 where/,
    ],
    [
      'images as cubes',
      { data: npyOf('|u1', [1, 64, 64, 3], new Uint8Array(size)), labels: one },
      /\(1, 64, 64, 3\)/,
    ],
    [
      'no rows',
      { data: npyOf('|u1', [0, size], new Uint8Array()), labels: npyOf('<i8', [0], int64([])) },
      /\(0, 12288\)/,
    ],
    ['more labels', arrays([1], [1, 2]), /has 1 images and labels \(2\)/],
    ['labels from 0', arrays([1, 2], [1, 0]), /is 0, of 1 to 1000/],
    ['labels beyond', arrays([1], [1001]), /is 1001, of 1 to 1000/],
    ['no labels', { data: npyOf('|u1', [1, size], new Uint8Array(size)) }, /has no array labels/],
  ])('%s', async (_what, content, message) => {
    write('val_data.npz', npzOf(content));
    expect(await refused()).toMatch(message);
  });

  test('too few images for a split', async () => {
    for (let i = 1; i <= 10; i++) write(`train_data_batch_${i}.npz`, npzOf(arrays([1], [i])));
    expect(await refused('validation')).toContain('has too few images for a split validation');
  });
});
