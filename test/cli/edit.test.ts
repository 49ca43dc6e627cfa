import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { normal, randomKey } from '../../src/core/index.js';
import { tf } from '../../src/core/tf.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { savedFlow, smallConfig } from '../training/small.js';
import {
  expectRefused,
  type Mistake,
  succeeds,
  tarflow,
  temporaryFolder,
  unwritablePath,
} from './command-line.js';

const details = {
  noise: { kind: 'gaussian' as const, sigma: 0.1 },
  classNames: ['Bag', 'Coat', 'Boot'],
};

/** A model of grey images of 4×4, a picture, another one, and a mask of the right half. */
async function files(folder: string) {
  const picture = (name: string, level: (i: number) => number, width = 4): Promise<string> => {
    const file = path.join(folder, `${name}.png`);
    const pixels = Buffer.from(Array.from({ length: 4 * width }, (_, i) => level(i)));
    const raw = { width, height: 4, channels: 1 } as const;
    return sharp(pixels, { raw })
      .toColourspace('b-w')
      .toFile(file)
      .then(() => file);
  };
  return {
    picture,
    model: await savedFlow(folder, smallConfig, details),
    one: await picture('one', (i) => (i * 37) % 256),
    other: await picture('other', (i) => (i * 91) % 256),
    mask: await picture('mask', (i) => (i % 4 >= 2 ? 255 : 0)),
  };
}

/** Runs a command, which has to succeed and to leave no tensor behind. */
async function run(...words: string[]): Promise<string> {
  const before = tf.memory().numTensors;
  const { stdout } = await succeeds(tarflow(...words));
  expect(tf.memory().numTensors).toBe(before);
  return stdout;
}

async function imagesOf(file: string): Promise<{ shape: number[]; data: Float32Array }> {
  const { tensors } = await readSafetensors(file);
  return tensors.images as { shape: number[]; data: Float32Array };
}

test('inpaint: known pixels stay, in numbers and in pictures', async () => {
  const folder = temporaryFolder();
  const { model, one, mask } = await files(folder);
  const at = (name: string) => path.join(folder, name);
  const options = ['--mask', mask, '--steps', '2', '--count', '3', '--label', 'boot'];
  const json = await run(
    'inpaint',
    model,
    one,
    ...options,
    '--out',
    at('drawn.safetensors'),
    '--json',
  );
  expect(JSON.parse(json)).toMatchObject({ sigma: 0.1, label: 'boot', seed: 0 });
  expect(JSON.parse(json).acceptance).toHaveLength(3);
  const { shape, data } = await imagesOf(at('drawn.safetensors'));
  expect(shape).toEqual([3, 1, 4, 4]);
  data.forEach((value, i) => {
    const level = ((i % 16) * 37) % 256;
    if (i % 4 < 2) expect(value).toBe(Math.fround(level / 127.5 - 1));
  });
  await run('inpaint', model, one, ...options, '--out', at('drawn/'));
  expect(fs.readdirSync(at('drawn'))).toHaveLength(3);
  await run('inpaint', model, one, ...options, '--out', at('grid.png'));
  // The image, what is known of it, and three pictures.
  expect((await sharp(at('grid.png')).metadata()).width).toBe(5 * 56 + 4 * 2);
});

test('what an edit loses of a picture is said', async () => {
  const folder = temporaryFolder();
  const { model, one } = await files(folder);
  const colour = path.join(folder, 'colour.png');
  const pixels = Buffer.from(Array.from({ length: 4 * 16 }, (_, i) => (i * 37) % 256));
  await sharp(pixels, { raw: { width: 4, height: 4, channels: 4 } }).toFile(colour);
  const out = ['--images', '2', '--out', path.join(folder, 'way.png')];
  const { stderr } = await succeeds(tarflow('interpolate', model, one, colour, ...out));
  expect(stderr).toMatch(/colour\.png: for this model, pictures in colour become grey\./);
  expect(stderr).toMatch(
    /colour\.png: for this model, pictures with transparency are put on white\./,
  );
  expect(stderr).not.toMatch(/one\.png/);
});

test('interpolate: a way between two pictures, and their styles on other classes', async () => {
  const folder = temporaryFolder();
  const { model, one, other } = await files(folder);
  const out = path.join(folder, 'strip.safetensors');
  const strip = async (...options: string[]) => {
    await run('interpolate', model, ...options, '--out', out);
    return imagesOf(out);
  };
  const way = await strip(one, other, '--images', '4');
  expect(way.shape).toEqual([4, 1, 4, 4]);
  const styles = await strip(one, other, '--label', 'Bag', '--to', 'Coat,2');
  expect(styles.shape).toEqual([6, 1, 4, 4]);
  // A row for each picture, which begins with it.
  [37, 91].forEach((factor, row) => {
    const levels = Float32Array.from({ length: 16 }, (_, i) => ((i * factor) % 256) / 127.5 - 1);
    expect(styles.data.slice(48 * row, 48 * row + 16)).toEqual(levels);
  });
  expect(styles.data.slice(16, 32)).not.toEqual(styles.data.slice(32, 48));
});

test("a user's mistake exits 2, names the thing, and leaves nothing", async () => {
  const folder = temporaryFolder();
  const { model, one, mask, picture } = await files(folder);
  const wide = await picture('wide', () => 255, 5);
  const [empty, full] = [await picture('empty', () => 0), await picture('full', () => 255)];
  const numbers = async (name: string, count: number, broken = false) => {
    const file = path.join(folder, `${name}.safetensors`);
    const data = normal(randomKey(1), 16 * count);
    if (broken) data[3] = Number.NaN;
    await writeSafetensors(file, { images: { shape: [count, 1, 4, 4], dtype: 'F32', data } }, {});
    return file;
  };
  const [two, broken] = [await numbers('two', 2), await numbers('broken', 1, true)];
  const out = ['--out', path.join(folder, 'new', 'drawn.png')];
  const inpainting: Mistake[] = [
    [model, [wide, '--mask', mask], /wide\.png has 5×4 pixels.*takes 4×4/],
    [model, [one, '--mask', wide], /wide\.png has 5×4 pixels/],
    [model, [one, '--mask', empty], /covers nothing/],
    [model, [one, '--mask', full], /covers everything/],
    [model, [two, '--mask', mask], /2 images came/],
    [model, [broken, '--mask', mask], /image 0 is not finite/],
    [model, [one, '--mask', mask, '--label', 'Hat'], /no label 'Hat'/],
    [model, [one, '--mask', path.join(folder, 'none.png')], /none\.png cannot be read/],
  ];
  await expectRefused('inpaint', folder, inpainting, out);
  const ways: Mistake[] = [
    [model, [one], /1 picture came.*--to/],
    [model, [one, wide], /wide\.png has 5×4 pixels/],
    [model, [one, broken], /image 0 is not finite/],
    [model, [one, '--to', 'Hat'], /no label 'Hat'/],
    [model, [one, one, '--images', '1'], /number of images is 1/],
    [model, [one, '--to', '0', '--images', '3'], /--images came with --to\. Leave --images out/],
  ];
  await expectRefused('interpolate', folder, ways, out);
  const place = unwritablePath(folder, 'drawn.png');
  for (const [command, more] of [
    ['inpaint', [one, '--mask', mask]],
    ['interpolate', [one, one]],
  ] as const) {
    await expectRefused(
      command,
      folder,
      [[model, [...more, '--out', place], /cannot be written/]],
      [],
    );
  }
});
