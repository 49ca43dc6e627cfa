import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { normal, randomKey, tf } from '../../src/core/index.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import { denoise } from '../../src/sampling/denoise.js';
import type { CheckpointDetails } from '../../src/training/checkpoint.js';
import { livelyFlow, savedAutoencoder, savedFlow, smallConfig } from '../training/small.js';
import {
  expectRefused,
  type Mistake,
  refused,
  succeeds,
  tarflow,
  temporaryFolder,
  unwritablePath,
} from './command-line.js';

const config: TarFlowConfig = { ...smallConfig, image: { channels: 3, height: 6, width: 4 } };

const details: CheckpointDetails = {
  noise: { kind: 'gaussian', sigma: 0.1 },
  classNames: ['Bag', 'Coat', 'Boot'],
};

function checkpoint(
  folder: string,
  overrides: Partial<TarFlowConfig> = {},
  more: CheckpointDetails = details,
): Promise<string> {
  return savedFlow(folder, { ...config, ...overrides }, more);
}

/** A file of noisy images, some beyond black and white. */
async function noisyFile(folder: string, count: number, channels = 3): Promise<string> {
  const file = path.join(folder, 'noisy.safetensors');
  const shape = [count, channels, 6, 4];
  const data = normal(randomKey(3), count * channels * 24);
  await writeSafetensors(file, { images: { shape, dtype: 'F32', data } }, {});
  return file;
}

async function imagesOf(file: string): Promise<{ shape: number[]; data: Float32Array }> {
  const { tensors } = await readSafetensors(file);
  return tensors.images as { shape: number[]; data: Float32Array };
}

/** Runs the command, which has to succeed and to leave no tensor behind. */
async function run(file: string, ...options: string[]): Promise<string> {
  const before = tf.memory().numTensors;
  const { stdout } = await succeeds(tarflow('denoise', file, ...options));
  expect(tf.memory().numTensors).toBe(before);
  return stdout;
}

test('every image moves by the step that denoise makes, in batches as alone', async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const noisy = await noisyFile(folder, 70);
  const out = path.join(folder, 'clean.safetensors');
  const options = ['--sigma', '0.2', '--multiplier', '1.5', '--label', 'boot, 0'];
  await run(file, '--in', noisy, '--out', out, ...options);

  const flow = livelyFlow(config);
  const given = await imagesOf(noisy);
  const x = tf.tensor4d(given.data, [70, 3, 6, 4]);
  const label = Array.from({ length: 70 }, (_, i) => (i % 2 === 0 ? 2 : 0));
  const expected = denoise(flow, x, { sigma: 0.2, multiplier: 1.5, label });
  const { shape, data } = await imagesOf(out);
  expect(shape).toEqual([70, 3, 6, 4]);
  const wanted = expected.dataSync();
  data.forEach((value, i) => {
    expect(value).toBeCloseTo(wanted[i] as number, 4);
  });
  expect(
    Math.max(...data.map((value, i) => Math.abs(value - (given.data[i] as number)))),
  ).toBeGreaterThan(0.01);
});

test("sigma is the training's where none is given", async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const noisy = await noisyFile(folder, 3);
  const [silent, told] = ['silent', 'told'].map((name) => path.join(folder, `${name}.safetensors`));
  const json = await run(file, '--in', noisy, '--out', silent as string, '--json');
  await run(file, '--in', noisy, '--out', told as string, '--sigma', '0.1');
  expect(await imagesOf(silent as string)).toEqual(await imagesOf(told as string));
  const outcome = JSON.parse(json) as { rootMeanSquareChange: number };
  expect(outcome).toMatchObject({ checkpoint: file, images: 3, sigma: 0.1, multiplier: 1 });
  expect(outcome.rootMeanSquareChange).toBeGreaterThan(0);
});

test('pictures in, pictures out under their names, each pixel in its place', async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const pixels = Buffer.from(Array.from({ length: 72 }, (_, i) => (i * 37) % 256));
  const files = ['a.png', 'b.png'].map((name) => path.join(folder, name));
  for (const each of files) {
    await sharp(pixels, { raw: { width: 4, height: 6, channels: 3 } }).toFile(each);
  }
  const out = path.join(folder, 'clean');
  // A step of nearly nothing, so that what comes out is what went in.
  await run(file, '--in', ...files, '--out', out, '--sigma', '0.0001');
  expect(fs.readdirSync(out).sort()).toEqual(['a.png', 'b.png']);
  const { data, info } = await sharp(path.join(out, 'b.png'))
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect([info.width, info.height, info.channels]).toEqual([4, 6, 3]);
  expect(data).toEqual(pixels);

  // None takes the other's place.
  const twin = path.join(folder, 'other', 'a.png');
  fs.mkdirSync(path.dirname(twin));
  fs.copyFileSync(files[0] as string, twin);
  expect(
    await refused(tarflow('denoise', file, '--in', files[0] as string, twin, '--out', out)),
  ).toMatch(/Two images would become .*a\.png\. Give files of different names/);
  const jpeg = path.join(folder, 'grid.jpg');
  expect(await refused(tarflow('denoise', file, '--in', ...files, '--out', jpeg))).toMatch(
    /--out is .*grid\.jpg\. Expected a name that ends in \.png/,
  );
  expect(fs.existsSync(jpeg)).toBe(false);
  expect(await refused(tarflow('denoise', file, '--in', ...files, '--out', ''))).toMatch(
    /--out is empty/,
  );
  // A folder that ends in a separator, and one that is there.
  for (const end of [path.sep, path.sep, '']) {
    await run(file, '--in', ...files, '--out', path.join(folder, `run.v2${end}`));
    expect(fs.readdirSync(path.join(folder, 'run.v2')).sort()).toEqual(['a.png', 'b.png']);
  }

  const grid = path.join(folder, 'grid.png');
  await run(file, '--in', ...files, '--out', grid);
  expect((await sharp(grid).metadata()).format).toBe('png');
});

test('grey pictures for a grey model', async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder, { image: { channels: 1, height: 6, width: 4 } });
  const pixels = Buffer.from(Array.from({ length: 24 }, (_, i) => (i * 11) % 256));
  const grey = path.join(folder, 'grey.png');
  await sharp(pixels, { raw: { width: 4, height: 6, channels: 1 } }).toFile(grey);
  const out = path.join(folder, 'clean');
  await run(file, '--in', grey, '--out', out, '--sigma', '0.0001');
  expect((await sharp(path.join(out, 'grey.png')).metadata()).channels).toBe(1);
  const cleaned = await sharp(path.join(out, 'grey.png')).toColourspace('b-w').raw().toBuffer();
  expect(cleaned).toEqual(pixels);
});

test('what sample writes as numbers is what denoise reads', async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const [noisy, cleaned] = ['noisy', 'cleaned'].map((name) =>
    path.join(folder, `${name}.safetensors`),
  ) as [string, string];
  const sampling = ['--count', '3', '--label', '1', '--seed', '5'];
  await succeeds(tarflow('sample', file, ...sampling, '--out', noisy));
  await succeeds(tarflow('sample', file, ...sampling, '--denoise', '--out', cleaned));
  const out = path.join(folder, 'out.safetensors');
  await run(file, '--in', noisy, '--out', out, '--label', '1');
  const [ours, theirs] = [await imagesOf(out), await imagesOf(cleaned)];
  expect(ours.shape).toEqual([3, 3, 6, 4]);
  ours.data.forEach((value, i) => {
    expect(value).toBeCloseTo(theirs.data[i] as number, 4);
  });
});

test("a user's mistake exits 2, names the thing and the remedy, and leaves nothing", async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const other = (name: string, ...what: [Partial<TarFlowConfig>?, CheckpointDetails?]) => {
    fs.mkdirSync(path.join(folder, name));
    return checkpoint(path.join(folder, name), ...what);
  };
  const uniform = await other('uniform', {}, { noise: { kind: 'uniform' } });
  const [silent, plain] = [await other('silent', {}, {}), await other('plain', { classes: 0 })];
  const noisy = ['--in', await noisyFile(folder, 2)];
  const given = (name: string) => ['--in', path.join(folder, name)];
  const unsound = path.join(folder, 'unsound.safetensors');
  const data = new Float32Array(2 * 72);
  data[100] = Number.NaN;
  await writeSafetensors(unsound, { images: { shape: [2, 3, 6, 4], dtype: 'F32', data } }, {});
  fs.mkdirSync(path.join(folder, 'grey'));
  const grey = await noisyFile(path.join(folder, 'grey'), 2, 1);
  fs.writeFileSync(path.join(folder, 'text.png'), 'not a picture');
  const picture = { width: 5, height: 6, channels: 3, background: 'red' } as const;
  await sharp({ create: picture }).toFile(path.join(folder, 'large.png'));
  const mistakes: Mistake[] = [
    [file, [...noisy, '--sigma', '0'], /sigma 0.*above 0/],
    [file, [...noisy, '--sigma', '-0.1'], /sigma -0\.1/],
    [file, [...noisy, '--multiplier', '0'], /multiplier is 0/],
    [uniform, noisy, /uniform noise.*Gaussian noise/],
    [silent, noisy, /does not say its noise.*--sigma/],
    // Before a sigma is asked for.
    [await savedAutoencoder(folder), noisy, /'vae' has no density/],
    [file, [...noisy, '--sigma', '1e30'], /by sigma 1e\+30, images are not finite.*\[-1, 1\]/],
    [file, [...noisy, '--label', 'Hat'], /no label 'Hat'.*Bag, Coat, Boot/],
    [plain, [...noisy, '--label', '0'], /without classes/],
    [file, given('none.png'), /none\.png cannot be read/],
    [file, given('none.safetensors'), /none\.safetensors/],
    [file, ['--in', file], /checkpoint\.safetensors has no tensor 'images'.*\(count, 3, 6, 4\)/],
    [file, ['--in', grey], /\(2, 1, 6, 4\).*\(count, 3, 6, 4\)/],
    [file, given('text.png'), /text\.png cannot be decoded/],
    [file, given('large.png'), /large\.png has 5×6 pixels.*4×6/],
    [file, ['--in', unsound], /image 1 is not finite/],
  ];
  const out = ['--out', path.join(folder, 'new', 'clean.png')];
  await expectRefused('denoise', folder, mistakes, out);
  const place = unwritablePath(folder, 'clean');
  const places = ['', '.png', '.safetensors'].map((end): Mistake => {
    return [file, [...noisy, '--out', `${place}${end}`], /cannot be written/];
  });
  await expectRefused('denoise', folder, places, []);
});
