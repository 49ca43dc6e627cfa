import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { pictureFileBytes, readPictureFile } from '../../src/compression/picture-file.js';
import { integers, randomKey, tf } from '../../src/core/index.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import { savedAutoencoder, savedFlow, smallConfig } from '../training/small.js';
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
const raw = { width: 4, height: 6, channels: 3 } as const;
const count = 12;

async function pixelsOf(file: string): Promise<Buffer> {
  return sharp(file).raw().toBuffer();
}

/** A model, twelve pictures, and what they are compressed to. */
async function compressed() {
  const folder = temporaryFolder();
  const details = { classNames: ['Bag', 'Coat', 'Boot'], noise: { kind: 'uniform' } } as const;
  const model = await savedFlow(folder, config, {
    ...details,
    classNames: [...details.classNames],
  });
  const pictures = path.join(folder, 'pictures');
  fs.mkdirSync(pictures);
  const files = Array.from({ length: count }, (_, i) => path.join(pictures, `${i}.png`));
  for (const [i, each] of files.entries()) {
    await sharp(Buffer.from(integers(randomKey(i), 72, 0, 256)), { raw }).toFile(each);
  }
  const file = path.join(folder, 'pictures.tflow');
  const options = ['--out', file, '--batch', '3', '--label', 'bag,2'];
  const before = tf.memory().numTensors;
  const { stdout, stderr } = await succeeds(
    tarflow('compress', model, ...files, ...options, '--json'),
  );
  expect(stderr).toBe('');
  expect(tf.memory().numTensors).toBe(before);
  return { folder, model, pictures, file, outcome: JSON.parse(stdout) };
}

test('pictures come back bit by bit, also in a process with another number of threads', async () => {
  const { folder, model, pictures, file, outcome } = await compressed();
  expect(outcome).toMatchObject({ images: count, batch: 3, bytes: fs.statSync(file).size });
  const programs = path.join(__dirname, 'tarflow.ts');
  const out = ['here', 'there'].map((name) => path.join(folder, name)) as [string, string];
  await succeeds(tarflow('decompress', file, '--out', out[0]));
  await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', programs, 'decompress', file, '--out', out[1], '--model', model],
    { env: { ...process.env, TF_NUM_INTRAOP_THREADS: '3' } },
  );
  const names = fs.readdirSync(pictures).sort();
  for (const each of out) {
    expect(fs.readdirSync(each).sort()).toEqual(names);
    for (const name of names) {
      expect(await pixelsOf(path.join(each, name))).toEqual(
        await pixelsOf(path.join(pictures, name)),
      );
    }
  }
  // Grey ones, by a batch that is chosen, and a file at a time.
  const grey = path.join(folder, 'grey');
  fs.mkdirSync(grey);
  const flow = await savedFlow(grey, { ...smallConfig, classes: 0 }, {});
  const picture = path.join(grey, 'a picture.png');
  const pixels = Buffer.from(integers(randomKey(0), 16, 0, 256));
  await sharp(pixels, { raw: { width: 4, height: 4, channels: 1 } })
    .toColourspace('b-w')
    .toFile(picture);
  const one = path.join(grey, 'one.tflow');
  const { stderr } = await succeeds(tarflow('compress', flow, picture, '--out', one));
  expect(stderr).toMatch(/was not trained with uniform noise/);
  await succeeds(tarflow('decompress', one, '--out', path.join(grey, 'out')));
  expect(
    await sharp(path.join(grey, 'out', 'a picture.png'))
      .toColourspace('b-w')
      .raw()
      .toBuffer(),
  ).toEqual(pixels);
});

test('damaged, cut and foreign files, and other models, are refused, and nothing is written', async () => {
  const { folder, model, file, pictures } = await compressed();
  const bytes = fs.readFileSync(file);
  const other = path.join(folder, 'other');
  fs.mkdirSync(other);
  const broken = path.join(other, 'broken.tflow');
  for (let at = 0; at < bytes.length; at++) {
    const copy = Buffer.from(bytes);
    copy[at]! ^= 1 << (at % 8);
    fs.writeFileSync(broken, copy);
    await expect(readPictureFile(broken)).rejects.toThrow(
      /broken\.tflow (is damaged or not whole|is no file of compressed|has compressed pictures of version)/,
    );
  }
  for (const length of [0, 7, 8, 9, 40, 60, bytes.length - 1]) {
    fs.writeFileSync(broken, bytes.subarray(0, length));
    await expect(readPictureFile(broken)).rejects.toThrow(/is (damaged or not whole|no file of)/);
  }
  // A file with a right checksum whose pictures would be written elsewhere.
  const evil = path.join(other, 'evil.tflow');
  const whole = await readPictureFile(file);
  const names = whole.names.map((name) => `../${name}`);
  fs.writeFileSync(evil, pictureFileBytes({ ...whole, names }));
  const twice = path.join(other, 'twice.tflow');
  fs.writeFileSync(twice, pictureFileBytes({ ...whole, names: whole.names.map(() => 'a') }));
  const wrong = await savedFlow(other, { ...config, channels: 16 }, {});
  const arithmetic = path.join(other, 'arithmetic.tflow');
  fs.writeFileSync(arithmetic, pictureFileBytes({ ...whole, arithmetic: 'another' }));
  const gone = path.join(other, 'gone.tflow');
  const moved = { ...whole.model, file: path.join(other, 'gone.safetensors') };
  fs.writeFileSync(gone, pictureFileBytes({ ...whole, model: moved }));
  const mistakes: Mistake[] = [
    [broken, [], /broken\.tflow is damaged or not whole: its checksum is another/],
    [
      path.join(pictures, '0.png'),
      [],
      /0\.png is no file of compressed pictures.*tarflow compress/,
    ],
    [path.join(other, 'none'), [], /none cannot be read/],
    [evil, [], /evil\.tflow: its header.*names.*expected the name of a file/],
    [twice, [], /twice\.tflow: its header.*names.*expected different names/],
    [
      file,
      ['--model', wrong],
      /was compressed by model [0-9a-f]{16} .*checkpoint.* is [0-9a-f]{16}/,
    ],
    [arithmetic, [], /cannot be decoded: the arithmetic is another/],
    [gone, [], /by the model .*gone\.safetensors, which is not here.*--model/],
  ];
  await expectRefused('decompress', folder, mistakes, ['--out', path.join(folder, 'out')]);
  expect(await refused(tarflow('decompress', file, '--out', pictures))).toMatch(/is not empty/);
  expect(await refused(tarflow('decompress', file, '--out', unwritablePath(other, 'out')))).toMatch(
    /cannot be written/,
  );
  expect(await refused(tarflow('decompress', file, '--out', model))).toMatch(/cannot be written/);
});

test('pictures of which something would be lost are refused', async () => {
  const folder = temporaryFolder();
  const model = await savedFlow(folder, config, { noise: { kind: 'uniform' } });
  const made = async (name: string, picture: sharp.Sharp) => {
    const file = path.join(folder, name);
    await picture.toFile(file);
    return file;
  };
  const plain = (more: object = {}) =>
    sharp({ create: { ...raw, background: { r: 255, g: 10, b: 0 }, ...more } });
  const good = await made('good.png', plain());
  const clear = { channels: 4, background: { r: 9, g: 9, b: 9, alpha: 0.5 } };
  fs.mkdirSync(path.join(folder, 'twin'));
  fs.copyFileSync(good, path.join(folder, 'twin', 'good.png'));
  const vae = await savedAutoencoder(folder);
  const mistakes: Mistake[] = [
    [model, [await made('wide.png', plain({ width: 5 }))], /wide\.png has 5×6, 3 channels.*4×6, 3/],
    [
      model,
      [await made('grey.png', plain().toColourspace('b-w'))],
      /grey\.png has 4×6, 1 channels/,
    ],
    [model, [await made('clear.png', plain(clear))], /clear\.png has transparent pixels/],
    [
      model,
      [await made('deep.png', plain().toColourspace('rgb16'))],
      /deep\.png has more than eight/,
    ],
    [model, [good, path.join(folder, 'twin', 'good.png')], /Two pictures are called good/],
    [model, [path.join(folder, 'twin')], /twin cannot be read/],
    [model, [path.join(folder, 'none.png')], /none\.png cannot be read/],
    [model, [model], /checkpoint\.safetensors cannot be decoded/],
    [model, [good, '--label', 'Hat'], /no label 'Hat'/],
    [vae, [good], /no density|has no autoregressive blocks|4×6, 3/],
  ];
  await expectRefused('compress', folder, mistakes, ['--out', path.join(folder, 'out.tflow')]);
});
