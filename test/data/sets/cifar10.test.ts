import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { openDataset, type Split } from '../../../src/data/index.js';
import { tarOf } from '../../formats/tar-writer.js';
import { levelsOf, madeSet } from './made-set.js';

const { cache, root, write } = madeSet();
const open = (split: Split) => openDataset(`cifar10:${root}`, split);
const address = 'Get CIFAR-10, binary version from https://www.cs.toronto.edu/~kriz/cifar.html.';

const size = 3072;
const perFile = 10_000;

/** The file of a batch: its images have the classes in turn, and say in their first bytes which they are. */
function batch(number: number): Buffer {
  const bytes = Buffer.alloc(perFile * (size + 1));
  for (let i = 0; i < perFile; i++) {
    const at = i * (size + 1);
    bytes[at] = i % 10;
    bytes[at + 1] = number;
    bytes.writeUInt16BE(i, at + 2);
    bytes[at + size] = 255 - number;
  }
  return bytes;
}

describe('binary files', () => {
  test('in the folder or the official one: the last 500 of each class are held out', async () => {
    for (let number = 1; number <= 5; number++) {
      write(`cifar-10-batches-bin/data_batch_${number}.bin`, batch(number));
    }
    const train = await open('train');
    expect(train).toMatchObject({
      name: 'cifar10',
      length: 45_000,
      image: { channels: 3, height: 32, width: 32 },
    });
    expect(train.classes.slice(0, 3)).toEqual(['airplane', 'automobile', 'bird']);
    expect(await levelsOf(train, [0, 9_999, 10_000, 44_999])).toEqual([
      [1, 0],
      [1, 9],
      [2, 0],
      [5, 9],
    ]);
    const { values } = await train.read([12_345]);
    // Number 2345 of the second file, and the last of its numbers.
    expect([...values.slice(0, 3), values[size - 1]]).toEqual([2, 9, 41, 253]);
    const validation = await open('validation');
    expect(validation.length).toBe(5_000);
    expect(await levelsOf(validation, [0, 4_999])).toEqual([
      [5, 0],
      [5, 9],
    ]);
    expect((await validation.read([0])).values.slice(1, 3)).toEqual(Uint8Array.of(19, 136));
    fs.renameSync(path.join(root, 'cifar-10-batches-bin'), path.join(root, '..', 'moved'));
    const moved = await openDataset(`cifar10:${root}/../moved`, 'train+validation');
    expect(moved.length).toBe(50_000);
  });

  test('in the official archive', async () => {
    const files = [
      { name: 'cifar-10-batches-bin/batches.meta.txt', content: 'airplane\n' },
      { name: 'cifar-10-batches-bin/test_batch.bin', content: batch(9) },
    ];
    write('cifar-10-binary.tar.gz', gzipSync(tarOf(files), { level: 1 }));
    const data = await open('test');
    expect(data.length).toBe(perFile);
    expect(await levelsOf(data, [3, 11])).toEqual([
      [9, 3],
      [9, 1],
    ]);
    await expect(open('train')).rejects.toThrow(/tar\.gz lacks data_batch_1\.bin\. Get CIFAR-10/);
  });
});

describe('what is missing or damaged is told with the official address', () => {
  test('all of it, or a file', async () => {
    await expect(open('train')).rejects.toThrow(
      `${root} has neither data_batch_1.bin nor cifar-10-binary.tar.gz. ${address}`,
    );
    write('data_batch_1.bin', batch(1));
    await expect(open('train')).rejects.toThrow(`${root} lacks data_batch_2.bin. ${address}`);
  });

  test('another length, or a class that is none', async () => {
    const bytes = batch(1);
    write('test_batch.bin', bytes.subarray(0, 3073 * 5000));
    await expect(open('test')).rejects.toThrow(
      /test_batch\.bin has 15365000 bytes where 30730000 belong\. Get CIFAR-10/,
    );
    bytes[7 * (size + 1)] = 10;
    write('test_batch.bin', bytes);
    await expect(open('test')).rejects.toThrow(/Image 7 of .* has the class 10, of 0 to 9/);
  });
});

test('CIFAR-10 without a folder is the one in the cache', async () => {
  const images = batch(4);
  const folder = path.join(cache, 'data', 'cifar10');
  const remedy =
    'Run `npx tarflow data cifar10`, or name the folder of the official files ' +
    '(https://www.cs.toronto.edu/~kriz/cifar.html): cifar10:PATH.';
  await expect(openDataset('cifar10', 'test')).rejects.toThrow(
    `CIFAR-10 is not in ${folder}. ${remedy}`,
  );
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'test_batch.bin'), images);
  write('test_batch.bin', images);
  await expect(openDataset('cifar10', 'train')).rejects.toThrow(
    `${folder} has neither data_batch_1.bin nor cifar-10-binary.tar.gz. ${remedy}`,
  );
  for (const name of ['cifar10', `cifar10:${root}`]) {
    const data = await openDataset(name, 'test');
    expect(data).toMatchObject({ name: 'cifar10', split: 'test', length: 10_000 });
    expect(await levelsOf(data, [0, 9_999])).toEqual([
      [4, 0],
      [4, 9],
    ]);
  }
});
