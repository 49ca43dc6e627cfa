import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { tf, UserError } from '../../src/core/index.js';
import {
  type GridOptions,
  type HostImages,
  imageGrid,
  saveImageGrid,
  showImages,
} from '../../src/show/image-grid.js';
import { sharedFolder } from '../temporary-folder.js';
import { leaveNotebook, pretendNotebook } from '../workbook/kernel.js';

const folder = sharedFolder();
afterEach(() => {
  leaveNotebook();
  vi.restoreAllMocks();
});

const white = [255, 255, 255];
const magenta = [255, 0, 255];

/** Three grey images of 2 × 2 pixels: image i has the pixels −1, i/2 − 1, 0, 1. */
const grey: HostImages = {
  data: Float32Array.from([0, 1, 2].flatMap((i) => [-1, i / 2 - 1, 0, 1])),
  shape: [3, 1, 2, 2],
};

async function draw(images: HostImages | tf.Tensor4D, options: GridOptions) {
  const { data, info } = await sharp(await imageGrid(images, options))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number) => {
    const place = info.channels * (y * info.width + x);
    return [...data.subarray(place, place + 3)];
  };
  return { width: info.width, height: info.height, at };
}

describe('a grid', () => {
  test('is as wide as its images where more columns are asked for', async () => {
    expect((await draw(grey, { columns: 1e6, scale: 3, gap: 4 })).width).toBe(3 * 6 + 2 * 4);
    // A label keeps its column.
    const labelled = { columns: 5, columnLabels: ['a', 'b', 'c', 'd', 'e'], scale: 3, gap: 4 };
    expect((await draw(grey, labelled)).width).toBe(5 * 6 + 4 * 4);
    await expect(imageGrid(grey, { columns: 2.5 })).rejects.toThrow(/columns.*is 2\.5/);
  });

  test('has each pixel of each image as a square in its place, and white between', async () => {
    const { width, height, at } = await draw(grey, { columns: 2, scale: 3, gap: 4 });
    expect([width, height]).toEqual([2 * 6 + 4, 2 * 6 + 4]);
    const shade = (value: number) => Array(3).fill(Math.round((value + 1) * 127.5));
    for (const [image, left, top] of [
      [0, 0, 0],
      [1, 10, 0],
      [2, 0, 10],
    ] as const) {
      for (let y = 0; y < 6; y++) {
        for (let x = 0; x < 6; x++) {
          const value = [-1, image / 2 - 1, 0, 1][2 * Math.floor(y / 3) + Math.floor(x / 3)];
          expect(at(left + x, top + y)).toEqual(shade(value as number));
        }
      }
    }
    expect(at(7, 2)).toEqual(white); // the gap
    expect(at(12, 12)).toEqual(white); // the place of a fourth image
  });

  test('takes colour channel by channel', async () => {
    const data = Float32Array.of(1, -1, 0); // one pixel: red 1, green −1, blue 0
    const { at } = await draw({ data, shape: [1, 3, 1, 1] }, { scale: 2 });
    expect(at(1, 1)).toEqual([255, 0, 128]);
  });

  test('clamps what is out of range and marks what is no number', async () => {
    const data = Float32Array.of(-7, 3, Number.NaN, Number.NEGATIVE_INFINITY);
    const { at } = await draw({ data, shape: [1, 1, 1, 4] }, { scale: 1 });
    expect([0, 1, 2, 3].map((x) => at(x, 0))).toEqual([[0, 0, 0], white, magenta, magenta]);
  });

  test('is square, and enlarges small images, unless told otherwise', async () => {
    const shape = [9, 1, 28, 28] as const;
    const images = { data: new Float32Array(9 * 28 * 28), shape };
    const { width, height } = await draw(images, {});
    expect([width, height]).toEqual([3 * 56 + 4, 3 * 56 + 4]);
  });

  test('takes a tensor and leaves it and the memory as they were', async () => {
    const images = tf.tensor4d(grey.data, [...grey.shape]);
    const before = tf.memory().numTensors;
    const fromTensor = await imageGrid(images, { columns: 3 });
    expect(tf.memory().numTensors).toBe(before);
    expect(images.isDisposed).toBe(false);
    expect(fromTensor.equals(await imageGrid(grey, { columns: 3 }))).toBe(true);
  });

  test('makes room for labels and a title and draws them there', async () => {
    const options = { columns: 2, scale: 20, gap: 2 };
    const bare = await draw(grey, options);
    const labelled = await draw(grey, {
      ...options,
      title: 'T',
      rowLabels: ['block 1', 'block 2'],
      columnLabels: ['data', 'noise'],
    });
    const [left, top] = [labelled.width - bare.width, labelled.height - bare.height];
    expect(left).toBeGreaterThan(40);
    expect(top).toBeGreaterThan(30);
    expect(labelled.at(left, top)).toEqual(bare.at(0, 0));
    expect(labelled.at(labelled.width - 1, top + 30)).toEqual(bare.at(bare.width - 1, 30));
    const ink = (x0: number, x1: number, y0: number, y1: number) => {
      for (let y = y0; y < y1; y++) {
        for (let x = x0; x < x1; x++) if ((labelled.at(x, y)[0] as number) < 128) return true;
      }
      return false;
    };
    expect(ink(0, left, top, labelled.height)).toBe(true); // row labels
    expect(ink(left, labelled.width, top - 20, top)).toBe(true); // column labels
    expect(ink(0, 20, 0, 20)).toBe(true); // the title
  });
});

describe('mistakes', () => {
  const cases: Record<string, [HostImages, GridOptions, RegExp]> = {
    'two channels': [
      { data: new Float32Array(2), shape: [1, 2, 1, 1] },
      {},
      /2 channels.*1 channel \(grey\) or 3/,
    ],
    'no images': [
      { data: new Float32Array(), shape: [0, 1, 2, 2] },
      {},
      /nothing to draw.*0, 1, 2, 2/,
    ],
    'no columns': [grey, { columns: 0 }, /columns.*is 0.*whole number/],
    'half a scale': [grey, { scale: 0.5 }, /scale.*is 0.5/],
    'a negative gap': [grey, { gap: -1 }, /gap.*-1/],
    'too few labels': [grey, { columns: 3, columnLabels: ['a'] }, /1 column labels.*Expected 3/],
    'too many labels': [grey, { columns: 3, rowLabels: ['a', 'b'] }, /2 row labels.*Expected 1/],
  };
  test.each(Object.entries(cases))('%s', async (_, [images, options, message]) => {
    await expect(imageGrid(images, options)).rejects.toThrow(UserError);
    await expect(imageGrid(images, options)).rejects.toThrow(message);
  });

  test('a folder that cannot be written to gives no partial file', async () => {
    fs.writeFileSync(path.join(folder, 'file'), '');
    const target = path.join(folder, 'file', 'grid.png');
    await expect(saveImageGrid(grey, target)).rejects.toThrow(/grid\.png cannot be written/);
    await expect(saveImageGrid(grey, path.join(folder, 'grid.jpg'))).rejects.toThrow(/\.png/);
    expect(fs.readdirSync(folder)).toEqual(['file']);
    await saveImageGrid(grey, path.join(folder, 'new', 'grid.png'));
    expect(fs.readdirSync(path.join(folder, 'new'))).toEqual(['grid.png']);
  });
});

test('showImages sends a picture in its own size, or prints what it shows', async () => {
  const outputs = pretendNotebook();
  await showImages(grey, { columns: 3, title: 'Samples' });
  const [output] = outputs;
  const { width, height } = await sharp(
    Buffer.from(output?.data['image/png'] as string, 'base64'),
  ).metadata();
  expect(output?.metadata).toEqual({
    'image/png': { width, height, alt: '[images] 3 × 1 × 2 × 2 Samples' },
  });
  leaveNotebook();
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  await showImages(grey, { title: 'Samples' });
  expect(log.mock.calls).toEqual([['[images] 3 × 1 × 2 × 2 Samples']]);
});

test('letters are drawn where nobody can write to the cache, and leave nothing there', async () => {
  const before = process.env.FONTCONFIG_FILE;
  fs.writeFileSync(path.join(folder, 'no-folder'), '');
  vi.stubEnv('TARFLOW_CACHE', path.join(folder, 'no-folder', 'cache'));
  vi.resetModules();
  const once = vi.spyOn(process, 'once');
  const { sharp: fresh } = await import('../../src/show/sharp.js');
  fresh();
  const file = process.env.FONTCONFIG_FILE as string;
  expect(fs.readFileSync(file, 'utf8')).toContain('dejavu');
  expect(file.startsWith(folder)).toBe(false);
  const atExit = once.mock.calls.find(([event]) => event === 'exit')?.[1] as () => void;
  once.mockRestore();
  process.off('exit', atExit);
  atExit();
  expect(fs.existsSync(path.dirname(file))).toBe(false);
  vi.unstubAllEnvs();
  process.env.FONTCONFIG_FILE = before;
});
