import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { pictureFileBytes, readPictureFile } from '../../src/compression/picture-file.js';
import { integers, randomKey, tf } from '../../src/core/index.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import { sharedFolder } from '../temporary-folder.js';
import { savedAutoencoder, savedFlow, smallConfig } from '../training/small.js';
import {
  expectRefused,
  type Mistake,
  refused,
  succeeds,
  tarflow,
  unwritablePath,
} from './command-line.js';

const config: TarFlowConfig = {
  ...smallConfig,
  ...{ image: { channels: 3, height: 4, width: 2 }, blocks: 1 },
};
const raw = { width: 2, height: 4, channels: 3 } as const;
const count = 7;

const shared = sharedFolder();

function folderIn(name: string): string {
  const folder = path.join(shared, name);
  fs.mkdirSync(folder, { recursive: true });
  return folder;
}

async function pixelsOf(file: string): Promise<Buffer> {
  return sharp(file).raw().toBuffer();
}

/** A model, seven pictures, and what they are compressed to. */
const made = { model: '', pictures: path.join(shared, 'pictures'), file: '', outcome: {} };

beforeAll(async () => {
  const { pictures } = made;
  folderIn('pictures');
  const details = { classNames: ['Bag', 'Coat', 'Boot'], noise: { kind: 'uniform' } } as const;
  made.model = await savedFlow(shared, config, {
    ...details,
    classNames: [...details.classNames],
  });
  const files = Array.from({ length: count }, (_, i) => path.join(pictures, `${i}.png`));
  for (const [i, each] of files.entries()) {
    await sharp(Buffer.from(integers(randomKey(i), 24, 0, 256)), { raw }).toFile(each);
  }
  made.file = path.join(shared, 'pictures.tflow');
  const options = ['--out', made.file, '--batch', '3', '--label', 'bag,2'];
  const before = tf.memory().numTensors;
  const { stdout, stderr } = await succeeds(
    tarflow('compress', made.model, ...files, ...options, '--json'),
  );
  expect(stderr).toBe('');
  expect(tf.memory().numTensors).toBe(before);
  made.outcome = JSON.parse(stdout);
});

test('pictures come back bit by bit, in a process with another number of threads', async () => {
  const { model, pictures, file, outcome } = made;
  const header = await readPictureFile(file);
  expect(header).toMatchObject({ batch: 3, label: [0, 2, 0, 2, 0, 2, 0] });
  const bytes = fs.statSync(file).size;
  expect(outcome).toMatchObject({
    ...{ images: count, bytes, bitsPerDimension: (8 * bytes) / (count * 24) },
    fileBytes: fs
      .readdirSync(pictures)
      .reduce((sum, name) => sum + fs.statSync(path.join(pictures, name)).size, 0),
  });
  const out = path.join(shared, 'there');
  await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', path.join(__dirname, 'tarflow.ts'), 'decompress', file, '--out', out],
    { env: { ...process.env, TF_NUM_INTRAOP_THREADS: '3' } },
  );
  const names = fs.readdirSync(pictures).sort();
  expect(fs.readdirSync(out).sort()).toEqual(names);
  for (const name of names) {
    expect(await pixelsOf(path.join(out, name))).toEqual(await pixelsOf(path.join(pictures, name)));
  }
  // In this process, a model that has moved, and pictures one after the other.
  const moved = path.join(folderIn('moved'), 'model.safetensors');
  fs.copyFileSync(model, moved);
  const { 0: first = '' } = names;
  const [one, back] = [path.join(shared, 'one.tflow'), path.join(shared, 'here')];
  await succeeds(tarflow('compress', model, path.join(pictures, first), '--out', one));
  await succeeds(tarflow('decompress', one, '--model', moved, '--out', back));
  expect(await pixelsOf(path.join(back, first))).toEqual(
    await pixelsOf(path.join(pictures, first)),
  );
});

test('grey pictures come back; of a model of noisy pictures it is said that it needs more bits', async () => {
  const folder = folderIn('grey');
  const noise = { kind: 'gaussian', sigma: 0.05 } as const;
  const flow = await savedFlow(folder, { ...smallConfig, blocks: 1, classes: 0 }, { noise });
  const picture = path.join(folder, 'a picture.png');
  const pixels = Buffer.from(integers(randomKey(0), 16, 0, 256));
  await sharp(pixels, { raw: { width: 4, height: 4, channels: 1 } })
    .toColourspace('b-w')
    .toFile(picture);
  const one = path.join(folder, 'one.tflow');
  const { stderr } = await succeeds(tarflow('compress', flow, picture, '--out', one));
  expect(stderr).toMatch(/was trained with Gaussian noise, and needs more bits.*noise=uniform/);
  await succeeds(tarflow('decompress', one, '--out', path.join(folder, 'out')));
  const back = sharp(path.join(folder, 'out', 'a picture.png')).toColourspace('b-w');
  expect(await back.raw().toBuffer()).toEqual(pixels);
});

test('damaged, cut and foreign files, and other models, are refused, and nothing is written', async () => {
  const { model, file, pictures } = made;
  const bytes = fs.readFileSync(file);
  const other = folderIn('other');
  const broken = path.join(other, 'broken.tflow');
  const whole = await readPictureFile(file);
  for (let at = 0; at < bytes.length; at++) {
    const copy = Buffer.from(bytes);
    copy[at]! ^= 1 << (at % 8);
    fs.writeFileSync(broken, copy);
    const read = await readPictureFile(broken).catch(String);
    // Of gzip's own bits a few mean nothing.
    if (typeof read === 'string') expect(read).toMatch(/or is damaged or not whole/);
    else expect(read).toEqual(whole);
  }
  for (const length of [0, 7, 18, 40, 60, bytes.length - 1]) {
    fs.writeFileSync(broken, bytes.subarray(0, length));
    await expect(readPictureFile(broken)).rejects.toThrow(/or is damaged or not whole/);
  }
  // Files with a right checksum.
  const changed = (name: string, changes: object) => {
    const changedFile = path.join(other, name);
    fs.writeFileSync(changedFile, pictureFileBytes({ ...whole, ...changes }));
    return changedFile;
  };
  const evil = changed('evil.tflow', { names: whole.names.map((name) => `../${name}`) });
  const twice = changed('twice.tflow', { names: whole.names.map(() => 'a') });
  const labels = changed('labels.tflow', { label: [1] });
  const arithmetic = changed('arithmetic.tflow', { checksum: 'another' });
  const newer = changed('newer.tflow', { version: 2 });
  const lost = path.join(other, 'gone.safetensors');
  const gone = changed('gone.tflow', { model: { ...whole.model, file: lost } });
  const foreign = path.join(other, 'foreign.gz');
  fs.writeFileSync(foreign, gzipSync('something else'));
  const wrong = await savedFlow(other, { ...config, channels: 16 }, {});
  const mistakes: Mistake[] = [
    [broken, [], /broken\.tflow holds no compressed pictures, or is damaged or not whole/],
    [path.join(pictures, '0.png'), [], /0\.png holds no compressed pictures.*tarflow compress/],
    [foreign, [], /foreign\.gz: its header/],
    [path.join(other, 'none'), [], /none cannot be read/],
    [evil, [], /evil\.tflow: its header.*names.*expected the name of a file/],
    [twice, [], /twice\.tflow: its header.*names.*expected different names/],
    [labels, [], /labels\.tflow: its header.*expected a label for each picture/],
    [newer, [], /newer\.tflow: its header.*version.*1.*this version of/],
    [
      file,
      ['--model', wrong],
      /was compressed by model [0-9a-f]{16} .*checkpoint.* is [0-9a-f]{16}/,
    ],
    [arithmetic, [], /cannot be decoded: the arithmetic is another/],
    [gone, [], /by the model .*gone\.safetensors, which is not here.*--model/],
  ];
  await expectRefused('decompress', shared, mistakes, ['--out', path.join(shared, 'out')]);
  expect(await refused(tarflow('decompress', file, '--out', pictures))).toMatch(/is not empty/);
  expect(await refused(tarflow('decompress', file, '--out', unwritablePath(other, 'out')))).toMatch(
    /cannot be written/,
  );
  expect(await refused(tarflow('decompress', file, '--out', model))).toMatch(/cannot be written/);
});

test('pictures of which something would be lost are refused', async () => {
  const folder = folderIn('refused');
  const { model } = made;
  const saved = async (name: string, picture: sharp.Sharp) => {
    const file = path.join(folder, name);
    await picture.toFile(file);
    return file;
  };
  const plain = (more: object = {}) =>
    sharp({ create: { ...raw, background: { r: 255, g: 10, b: 0 }, ...more } });
  const good = await saved('good.png', plain());
  const clear = { channels: 4, background: { r: 9, g: 9, b: 9, alpha: 0.5 } };
  fs.mkdirSync(path.join(folder, 'twin'));
  fs.copyFileSync(good, path.join(folder, 'twin', 'good.png'));
  const vae = await savedAutoencoder(folder);
  const mistakes: Mistake[] = [
    [
      model,
      [await saved('wide.png', plain({ width: 5 }))],
      /wide\.png has 5×4, 3 channels.*2×4, 3/,
    ],
    [
      model,
      [await saved('grey.png', plain().toColourspace('b-w'))],
      /grey\.png has 2×4, 1 channels/,
    ],
    [
      model,
      [await saved('clear.png', plain(clear))],
      /clear\.png cannot be kept .*with transparency/,
    ],
    [
      model,
      [await saved('deep.png', plain().toColourspace('rgb16'))],
      /deep\.png cannot be kept .*more than 8 bits/,
    ],
    [model, [good, path.join(folder, 'twin', 'good.png')], /Two pictures are called good/],
    [model, [path.join(folder, 'twin')], /twin cannot be read/],
    [model, [path.join(folder, 'none.png')], /none\.png cannot be read/],
    [model, [model], /checkpoint\.safetensors cannot be decoded/],
    [model, [good, '--label', 'Hat'], /no label 'Hat'/],
    [vae, [good], /no density|has no autoregressive blocks|2×4, 3/],
  ];
  await expectRefused('compress', folder, mistakes, ['--out', path.join(folder, 'out.tflow')]);
});
