import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import {
  type FolderOptions,
  imagesTensor,
  labelBatch,
  openDataset,
  openFolder,
  pixelBatch,
  surveyFolder,
  toUnitRange,
} from '../../../src/data/index.js';
import { sourceOf } from '../../../src/data/open.js';
import { batchSource, noisyImageFeeds } from '../../../src/training/batches/index.js';
import { sharedFolder } from '../../temporary-folder.js';
import { smallConfig, smallSettings } from '../../training/small.js';

const folder = sharedFolder();
beforeEach(() => {
  for (const name of fs.readdirSync(folder))
    fs.rmSync(path.join(folder, name), { recursive: true });
});

afterEach(() => vi.restoreAllMocks());

type Colour = [red: number, green: number, blue: number];

/** A picture of one colour. */
function plain([r, g, b]: Colour, width = 4, height = 4): Sharp {
  return sharp({ create: { width, height, channels: 3, background: { r, g, b } } });
}

async function write(name: string, picture: Sharp): Promise<string> {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  await picture.toFile(file);
  return file;
}

const small = { channels: 3, height: 4, width: 4 };

describe('a folder of classes', () => {
  beforeEach(async () => {
    // Not in the order of their names.
    await write('train/zebra/b.png', plain([3, 0, 0]));
    await write('train/ant/inner/a.png', plain([2, 0, 0]));
    await write('train/ant/B.png', plain([0, 0, 0]));
    await write('train/ant/a.png', plain([1, 0, 0]));
    await write('validation/zebra/a.png', plain([4, 0, 0]));
    await write('test/cow/a.png', plain([5, 0, 0]));
    fs.writeFileSync(path.join(folder, 'train', 'ant', 'notes.txt'), 'no image');
    fs.writeFileSync(path.join(folder, 'train', 'ant', '.a.png'), 'hidden');
    await write('train/ant/.ipynb_checkpoints/a-checkpoint.png', plain([9, 0, 0]));
  });

  test('has its classes and files in the order of their names, the same in every split', async () => {
    const data = await openFolder(folder, 'train');
    expect(data).toMatchObject({
      name: path.basename(folder),
      split: 'train',
      length: 4,
      image: small,
      classes: ['ant', 'cow', 'zebra'],
    });
    expect([...data.labels]).toEqual([0, 0, 0, 2]);
    const { values, labels, count } = await data.read([3, 0, 2, 1, 0]);
    expect(count).toBe(5);
    expect([...labels]).toEqual([2, 0, 0, 0, 0]);
    const reds = [0, 1, 2, 3, 4].map((i) => values[48 * i]);
    expect(reds).toEqual([3, 0, 2, 1, 0]);
    const test = await openFolder(folder, 'test');
    expect([...test.labels]).toEqual([1]);
    const both = await openFolder(folder, 'train+validation');
    expect([...both.labels]).toEqual([0, 0, 0, 2, 2]);
  });

  test('is opened again from its description, by a structured clone that copies no path', async () => {
    const data = await openDataset(`folder:${folder}`, 'train');
    const description = structuredClone(data.description);
    const again = sourceOf(description);
    const [first, second] = await Promise.all([data, again].map((each) => each.read([2, 3])));
    expect(second).toEqual(first);
    expect(again).toMatchObject({ name: data.name, length: 4, classes: data.classes });
    if (description.kind !== 'folder') throw new Error('Expected a folder.');
    for (const array of [description.labels, description.paths.bytes, description.paths.ends]) {
      expect(array.buffer).toBeInstanceOf(SharedArrayBuffer);
    }
  });

  test('gives pixels, labels and tensors as sets in memory do', async () => {
    const data = await openFolder(folder, 'train');
    const pixels = await pixelBatch(data, [1, 3]);
    expect([pixels[0], pixels[48]]).toEqual([1, 3]);
    expect([...labelBatch(data, [1, 3])]).toEqual([0, 2]);
    const tensor = await imagesTensor(data, [1, 3]);
    expect(tensor.shape).toEqual([2, 3, 4, 4]);
    expect([...tensor.dataSync()]).toEqual([...toUnitRange(pixels)]);
  });

  test.each([-1, 4, 0.5])('refuses index %s', async (index) => {
    const data = await openFolder(folder, 'train');
    await expect(data.read([0, index])).rejects.toThrow(/\(train\): expected 0 to 3/);
  });

  test('an image beside the folders of classes is in none of them', async () => {
    const file = await write('train/loose.png', plain([0, 0, 0]));
    await expect(openFolder(folder, 'train')).rejects.toThrow(
      new UserError(
        `The image ${file} lies beside folders of classes`,
        'Move it into the folder of its class',
      ),
    );
  });
});

test('a folder without classes has no labels', async () => {
  await write('train/b.png', plain([2, 0, 0]));
  await write('train/a.png', plain([1, 0, 0]));
  const data = await openFolder(folder, 'train', { licence: 'CC0' });
  expect(data).toMatchObject({ classes: [], length: 2, licence: 'CC0' });
  const { values, labels } = await data.read([0, 1]);
  expect([...labels]).toEqual([-1, -1]);
  expect([values[0], values[48]]).toEqual([1, 2]);
});

describe('a folder without splits', () => {
  /** The splits as lists of files, by their red. */
  async function reds(split: 'train' | 'validation' | 'train+validation'): Promise<number[]> {
    const data = await openFolder(folder, split);
    const { values } = await data.read([...data.labels.keys()]);
    return Array.from(data.labels, (_, i) => values[48 * i]!);
  }

  test('of classes holds a tenth of each out, at least one where there are two', async () => {
    for (let i = 0; i < 20; i++) await write(`bee/${i}.png`, plain([i, 0, 0]));
    for (let i = 0; i < 3; i++) await write(`ant/more/${i}.png`, plain([100 + i, 0, 0]));
    await write('cow/only.png', plain([200, 0, 0]));
    fs.writeFileSync(path.join(folder, 'notes.txt'), 'no image');
    const train = await openFolder(folder, 'train');
    const held = await openFolder(folder, 'validation');
    expect(train).toMatchObject({ classes: ['ant', 'bee', 'cow'], length: 21, image: small });
    expect([...held.labels]).toEqual([0, 1, 1]);
    // One of each class in turn, so that the first ones are of all classes.
    expect([...train.labels.subarray(0, 5)]).toEqual([0, 1, 2, 0, 1]);
    const [first, second] = [await reds('train'), await reds('validation')];
    expect(new Set([...first, ...second]).size).toBe(24);
    expect(await reds('validation')).toEqual(second);
    const all = await reds('train+validation');
    expect([...all].sort()).toEqual([...first, ...second].sort());
    // Other images take none of those held out away.
    await write('ant/more/later.png', plain([99, 0, 0]));
    for (let i = 0; i < 4; i++) await write(`bee/later-${i}.png`, plain([90, 0, 0]));
    const later = await reds('validation');
    expect([...second, 90, 99].filter((red) => later.includes(red)).length).toBe(later.length);
  });

  test('nor classes has no labels', async () => {
    for (let i = 0; i < 4; i++) await write(`${i}.png`, plain([i, 0, 0]));
    fs.mkdirSync(path.join(folder, 'empty'));
    const train = await openFolder(folder, 'train');
    expect(train).toMatchObject({ classes: [], length: 3 });
    expect([...train.labels]).toEqual([-1, -1, -1]);
    expect(await openFolder(folder, 'validation')).toMatchObject({ length: 1 });
  });

  test('says which splits there are, where another is asked for', async () => {
    await write('a.png', plain([1, 0, 0]));
    await expect(openFolder(folder, 'validation')).rejects.toThrow(
      /Expected a class with two images/,
    );
    await write('b.png', plain([1, 0, 0]));
    await expect(openFolder(folder, 'test')).rejects.toThrow(
      /no images of the split 'test'\. Expected one of train, validation\.$/,
    );
  });

  test('refuses a class without images, and images beside classes', async () => {
    await write('ant/a.png', plain([1, 0, 0]));
    fs.mkdirSync(path.join(folder, 'bee'));
    await expect(openFolder(folder, 'train')).rejects.toThrow(
      /The class .*bee holds no images\. Put images of that class into it/,
    );
    await write('loose.png', plain([1, 0, 0]));
    await expect(openFolder(folder, 'train')).rejects.toThrow(/loose\.png lies beside folders/);
  });
});

describe('a look at a folder', () => {
  const image = (side: number, channels = 3) => ({ channels, height: side, width: side });

  test.each([
    [[20, 30, 40], 16],
    [[28, 28, 28], 28],
    [[30, 30, 30], 16],
    [[100, 100, 100], 64],
    [[5, 5, 5], 8],
  ])('at pictures of %j chooses %i', async (widths, side) => {
    for (const [i, width] of widths.entries())
      await write(`${i}.png`, plain([0, 0, 0], width, width));
    expect((await surveyFolder(folder)).image).toEqual(image(side));
  });

  test('says how it is divided and what is lost', async () => {
    await write('a.png', plain([0, 9, 0], 16, 16));
    await write('b.png', plain([0, 9, 0], 32, 16));
    await write('c.png', plain([0, 9, 0], 16, 16).ensureAlpha(0.5));
    fs.writeFileSync(path.join(folder, 'd.png'), 'hello');
    const { image: chosen, text } = await surveyFolder(folder);
    expect(chosen).toEqual(image(16));
    const [divided, size, shape, transparent, damaged] = text(chosen).split('; ');
    expect(divided).toMatch(/^3 train, 1 validation \(a tenth/);
    expect(size).toBe('16×16 in colour');
    expect(transparent).toBe('1 with transparency are put on white');
    expect(shape).toBe('1 of another shape lose what is beside a middle of 16×16');
    expect(damaged).toMatch(/d\.png cannot be decoded .*stands in for it$/);
    expect(text(image(16, 1))).toMatch(/16×16 in grey; .*3 in colour become grey/);
    expect(text(image(28))).toContain('3 smaller than 28×28 are enlarged');
  });

  test('says once for all of a folder what no size keeps', async () => {
    const grey = sharp(
      Uint16Array.from({ length: 256 }, () => 40_000),
      {
        raw: { width: 16, height: 16, channels: 1 },
      },
    );
    await write('deep.png', grey.toColourspace('grey16'));
    await write('print.jpg', plain([200, 10, 30], 16, 16).toColourspace('cmyk').jpeg());
    const frames = sharp(Buffer.concat([Buffer.alloc(768, 90), Buffer.alloc(768, 10)]), {
      raw: { width: 16, height: 32, channels: 3, pageHeight: 16 },
    });
    await write('moving.gif', frames.gif({ loop: 0, delay: [50, 50] }));
    const { image: chosen, losses } = await surveyFolder(folder);
    expect(losses(chosen)).toEqual([
      '1 with more than 8 bits a channel are cut to 8',
      '1 with several frames or pages keep the first',
      '1 in CMYK come to sRGB',
    ]);
  });

  test('at grey pictures stays grey, and at no picture is refused', async () => {
    fs.writeFileSync(path.join(folder, 'a.png'), 'hello');
    await expect(surveyFolder(folder)).rejects.toThrow(/a\.png cannot be decoded/);
    await write('b.png', plain([9, 9, 9], 16, 16).toColourspace('b-w'));
    expect((await surveyFolder(folder)).image).toEqual(image(16, 1));
  });
});

describe('what cannot be opened is refused', () => {
  test('a folder that is not there, or is empty', async () => {
    await expect(openFolder(path.join(folder, 'nowhere'), 'train')).rejects.toThrow(
      /There is no folder .*nowhere\. Expected a folder with images/,
    );
    fs.writeFileSync(path.join(folder, 'notes.txt'), 'no image');
    await expect(openFolder(folder, 'train')).rejects.toThrow(
      /holds no images\. Expected files that end in \.png, \.jpg.*CLASS\/IMAGE\.png/,
    );
  });

  test('a split without images', async () => {
    await write('train/a.png', plain([0, 0, 0]));
    await expect(openDataset(`folder:${folder}`, 'validation')).rejects.toThrow(
      /has no images of the split 'validation'\. Expected one of train, or images in .*validation\.$/,
    );
  });

  test('a number of channels that no image has', async () => {
    await write('train/a.png', plain([0, 0, 0]));
    const image = { ...small, channels: 4 };
    await expect(openFolder(folder, 'train', { image })).rejects.toThrow(/of 4 channels/);
  });
});

describe('images of every kind', () => {
  /** The colour of the first pixel, as the set has it. */
  async function decoded(channels: 1 | 3 = 3): Promise<number[]> {
    const data = await openFolder(folder, 'train', { image: { ...small, channels } });
    const { values } = await data.read([0]);
    expect(values.length).toBe(16 * channels);
    return Array.from({ length: channels }, (_, channel) => values[16 * channel] as number);
  }

  test('colour in the order of channels, rows and columns', async () => {
    const pixels = Uint8Array.from({ length: 48 }, (_, i) => i);
    await write('train/a.png', sharp(pixels, { raw: { width: 4, height: 4, channels: 3 } }));
    const { values } = await (await openFolder(folder, 'train')).read([0]);
    const expected = [0, 1, 2].flatMap((channel) =>
      Array.from({ length: 16 }, (_, at) => 3 * at + channel),
    );
    expect([...values]).toEqual(expected);
  });

  test('a palette', async () => {
    await write('train/a.png', plain([200, 100, 50]).png({ palette: true }));
    expect(await decoded()).toEqual([200, 100, 50]);
  });

  test('grey, read as grey and as colour', async () => {
    await write('train/a.png', plain([90, 90, 90]).toColourspace('b-w'));
    expect((await openFolder(folder, 'train')).image.channels).toBe(1);
    expect(await decoded(1)).toEqual([90]);
    expect(await decoded(3)).toEqual([90, 90, 90]);
  });

  test('grey of 16 bits', async () => {
    const values = new Uint16Array(16).fill(90 * 257);
    const raw = { width: 4, height: 4, channels: 1 } as const;
    await write('train/a.png', sharp(values, { raw }).toColourspace('grey16'));
    expect((await openFolder(folder, 'train')).image.channels).toBe(1);
    expect(await decoded(1)).toEqual([90]);
    expect(await decoded(3)).toEqual([90, 90, 90]);
  });

  test('colour read as grey', async () => {
    await write('train/a.png', plain([0, 255, 0]));
    const [grey] = await decoded(1);
    expect(grey).toBeGreaterThan(150);
    expect(grey).toBeLessThan(250);
  });

  test.each([3, 1] as const)('what is transparent, on white, as %i channels', async (channels) => {
    const background = { r: 0, g: 0, b: 0, alpha: 0.5 };
    const picture = sharp({ create: { width: 4, height: 4, channels: 4, background } });
    await write('train/a.png', picture);
    for (const value of await decoded(channels)) expect(Math.abs(value - 127)).toBeLessThan(2);
  });

  test('CMYK', async () => {
    await write('train/a.jpg', plain([255, 255, 255]).toColourspace('cmyk'));
    const file = path.join(folder, 'train/a.jpg');
    expect((await sharp(file).metadata()).channels).toBe(4);
    for (const value of await decoded()) expect(value).toBeGreaterThan(245);
  });

  test('one that lies on its side in the file', async () => {
    // The left half is black: upright, the upper half.
    const pixels = Uint8Array.from({ length: 8 }, (_, i) => (i % 4 < 2 ? 0 : 255));
    const raw = { width: 4, height: 2, channels: 1 } as const;
    await write('train/a.png', sharp(pixels, { raw }).withMetadata({ orientation: 6 }));
    const data = await openFolder(folder, 'train');
    expect(data.image).toMatchObject({ height: 4, width: 2 });
    const { values } = await data.read([0]);
    expect([...values.subarray(0, 8)]).toEqual([0, 0, 0, 0, 255, 255, 255, 255]);
  });
});

describe('sizes', () => {
  test('the middle is cut out of the scaled image', async () => {
    // Three squares side by side; the middle one is what remains.
    const pixels = Uint8Array.from({ length: 24 * 8 }, (_, i) => [10, 130, 250][(i % 24) >> 3]!);
    const raw = { width: 24, height: 8, channels: 1 } as const;
    await write('train/wide.png', sharp(pixels, { raw }));
    const tall = Uint8Array.from({ length: 24 * 8 }, (_, i) => [10, 130, 250][Math.floor(i / 64)]!);
    await write('train/tall.png', sharp(tall, { raw: { ...raw, width: 8, height: 24 } }));
    await write('train/tiny.png', plain([130, 130, 130], 2, 2));
    const data = await openFolder(folder, 'train', { image: { ...small, channels: 1 } });
    const { values } = await data.read([0, 1, 2]);
    // Away from the seams, where scaling mixes.
    for (const image of [0, 1, 2]) {
      for (const at of [5, 6, 9, 10]) {
        expect(Math.abs((values[16 * image + at] as number) - 130)).toBeLessThan(3);
      }
    }
  });

  test('without a size asked for, all are those of the first', async () => {
    await write('train/a.png', plain([0, 0, 0], 6, 4));
    const other = await write('train/b.png', plain([0, 0, 0], 4, 6));
    const data = await openFolder(folder, 'train');
    expect(data.image).toEqual({ channels: 3, height: 4, width: 6 });
    await expect(data.read([0, 1])).rejects.toThrow(
      `The image ${other} has 4×6 pixels. Expected 6×4 as the first image; name a size`,
    );
  });
});

describe('batches made in a thread of its own', () => {
  const count = 12;
  const image = { channels: 1, height: 4, width: 4 };
  beforeEach(async () => {
    for (let i = 0; i < count; i++) await write(`train/${i + 10}.png`, plain([i, i, i]));
  });

  async function batches(held: number, more: FolderOptions = {}) {
    const data = await openFolder(folder, 'train', { image, held, ...more });
    return batchSource(
      {
        config: { ...smallConfig, image, classes: 0 },
        objectives: [{ name: 'likelihood', feeds: noisyImageFeeds }],
        settings: { ...smallSettings, batchSize: 4, noise: { kind: 'none' } },
        data,
      },
      0,
      200,
    );
  }

  test.each([0, 2, 100])('of %i images held ahead, an epoch has each image once', async (held) => {
    const source = await batches(held);
    const seen: number[] = [];
    for (let step = 0; step < 6; step++) {
      const { images } = (await source.next()).likelihood ?? {};
      images?.forEach((value, i) => {
        if (i % 16 === 0) seen.push(Math.round((value + 1) * 127.5));
      });
    }
    await source.close();
    const all = Array.from({ length: count }, (_, i) => i);
    for (const epoch of [seen.slice(0, count), seen.slice(count)]) {
      expect(epoch.sort((a, b) => a - b)).toEqual(all);
    }
  });

  test('where none may be damaged, one stops them with an error that names it', async () => {
    const file = path.join(folder, 'train', '15.png');
    fs.writeFileSync(file, 'hello');
    const source = await batches(100, { damaged: 'refused' });
    const epoch = async () => {
      for (let step = 0; step < 3; step++) await source.next();
    };
    const error = await epoch().catch((thrown) => thrown);
    await source.close();
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(`The image ${file} cannot be decoded`);
  });
});

async function cutShort(format: 'jpeg' | 'png'): Promise<Buffer> {
  const noise = Uint8Array.from({ length: 3 * 64 * 64 }, (_, i) => (i * 7919) % 256);
  const picture = sharp(noise, { raw: { width: 64, height: 64, channels: 3 } });
  const whole = await picture.toFormat(format).toBuffer();
  return whole.subarray(0, whole.length / 2);
}

describe('damaged files are named', () => {
  beforeEach(async () => {
    await write('train/a.png', plain([0, 0, 0]));
  });

  test.each([
    ['no image at all', 'b.png', async () => Buffer.from('hello')],
    ['empty', 'b.png', async () => Buffer.alloc(0)],
    ['cut short', 'b.jpg', () => cutShort('jpeg')],
    ['cut short', 'b.png', () => cutShort('png'), '(damaged or cut short)'],
  ])('%s, %s', async (_what, name, content, reason = '(') => {
    const file = path.join(folder, 'train', name);
    fs.writeFileSync(file, await content());
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const problem = `The image ${file} cannot be decoded ${reason}`;
    for (const damaged of [undefined, 'refused'] as const) {
      const data = await openFolder(folder, 'train', { image: small, damaged });
      // Also where it was decoded ahead.
      data.prefetch?.([1]);
      const read = await Promise.resolve(data.read([0, 1])).catch((thrown) => thrown);
      if (damaged === undefined) {
        expect([...read.values.subarray(48)]).toEqual([...read.values.subarray(0, 48)]);
        await data.read([1, 1]);
        expect([...(data.damaged ?? [])]).toEqual([file]);
        expect(warn).toHaveBeenCalledTimes(1);
        expect(warn.mock.lastCall?.[0]).toContain(problem);
        expect(warn.mock.lastCall?.[0]).toMatch(/\(train\) so far: 1\.$/);
      } else {
        expect(read).toBeInstanceOf(UserError);
        expect(read.message).toContain(problem);
      }
      expect((await data.read([0])).count).toBe(1);
    }
    expect(warn).toHaveBeenCalledTimes(1);
  });

  test('another of the same class stands in, of another class none', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    for (const name of fs.readdirSync(folder))
      fs.rmSync(path.join(folder, name), { recursive: true });
    await write('train/ant/a.png', plain([1, 0, 0]));
    await write('train/bee/a.png', plain([2, 0, 0]));
    await write('train/bee/b.png', plain([3, 0, 0]));
    await write('train/cow/a.png', plain([4, 0, 0]));
    const data = await openFolder(folder, 'train', { image: small });
    const damaged = ['bee/b.png', 'cow/a.png'].map((name) => path.join(folder, 'train', name));
    for (const file of damaged) fs.writeFileSync(file, 'hello');
    const { values, labels } = await data.read([2, 1, 0]);
    expect([...labels]).toEqual([1, 1, 0]);
    expect([0, 48, 96].map((at) => values[at])).toEqual([2, 2, 1]);
    await expect(data.read([3])).rejects.toThrow(`The image ${damaged[1]} cannot be decoded (`);
    expect([...(data.damaged ?? [])]).toEqual(damaged);
  });

  test('where more than ten come one after the other, reading ends', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    for (let i = 0; i < 12; i++)
      fs.writeFileSync(path.join(folder, 'train', `b${i + 10}.png`), 'x');
    const data = await openFolder(folder, 'train', { image: small });
    await expect(data.read([1])).rejects.toThrow(/b10\.png cannot be decoded/);
    expect((await data.read([3])).count).toBe(1);
  });

  test('one that is gone', async () => {
    const file = await write('train/b.png', plain([0, 0, 0]));
    const data = await openFolder(folder, 'train');
    fs.rmSync(file);
    await expect(data.read([1])).rejects.toThrow(`${file} cannot be read (it does not exist)`);
  });

  test('the first one, when the folder is opened', async () => {
    const file = path.join(folder, 'train', 'a.png');
    fs.writeFileSync(file, 'hello');
    await expect(openFolder(folder, 'train')).rejects.toThrow(`The image ${file} cannot be`);
    // Where the size is given, the others can be read.
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await write('train/b.png', plain([7, 0, 0]));
    const data = await openFolder(folder, 'train', { image: small });
    expect((await data.read([1])).values[0]).toBe(7);
  });
});
