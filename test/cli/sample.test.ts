import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { CheckpointDetails } from '../../src/training/checkpoint.js';
import { savedFlow, smallConfig } from '../training/small.js';
import { tarflow, temporaryFolder, unwritablePath } from './command-line.js';

const config: TarFlowConfig = { ...smallConfig, image: { channels: 1, height: 8, width: 8 } };

const details: CheckpointDetails = {
  noise: { kind: 'gaussian', sigma: 0.1 },
  classNames: ['Bag', 'Coat/top', 'Ankle boot'],
};

function checkpoint(
  folder: string,
  overrides: Partial<TarFlowConfig> = {},
  more: CheckpointDetails = details,
): Promise<string> {
  return savedFlow(folder, { ...config, ...overrides }, more);
}

/** Draws a picture, and returns it as bytes that do not say how it was made. */
async function picture(file: string, ...options: string[]): Promise<Buffer> {
  const out = path.join(path.dirname(file), 'grid.png');
  const before = tf.memory().numTensors;
  const { code, stderr } = await tarflow('sample', file, '--count', '4', '--out', out, ...options);
  expect(code, stderr).toBe(0);
  expect(tf.memory().numTensors).toBe(before);
  const bytes = await sharp(fs.readFileSync(out)).png().toBuffer();
  fs.rmSync(out);
  return bytes;
}

test('the same seed gives the same picture bit for bit, another seed another one', async () => {
  const file = await checkpoint(temporaryFolder());
  const first = await picture(file, '--seed', '7');
  expect((await picture(file, '--seed', '7')).equals(first)).toBe(true);
  expect((await picture(file, '--seed', '8')).equals(first)).toBe(false);
});

test('the temperature of the prior changes the picture; a bad one is refused', async () => {
  const file = await checkpoint(temporaryFolder());
  const usual = await picture(file);
  expect((await picture(file, '--prior-temperature', '1')).equals(usual)).toBe(true);
  expect((await picture(file, '--prior-temperature', '0.5')).equals(usual)).toBe(false);
  const out = path.join(path.dirname(file), 'grid.png');
  const refused = await tarflow('sample', file, '--out', out, '--prior-temperature', '-1');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('The temperature of the prior is -1');
});

test('the picture is a grid of the size that was asked for', async () => {
  const file = await checkpoint(temporaryFolder());
  const square = await sharp(await picture(file)).metadata();
  expect(square.format).toBe('png');
  expect(square.width).toBe(square.height);
  const row = await sharp(await picture(file, '--columns', '4')).metadata();
  expect(row.width).toBeGreaterThan(3 * (row.height as number));
});

test('a class by number or name, or several in turn', async () => {
  const file = await checkpoint(temporaryFolder());
  const named = await picture(file, '--label', 'coat/TOP');
  expect((await picture(file, '--label', '1')).equals(named)).toBe(true);
  expect((await picture(file, '--label', '2')).equals(named)).toBe(false);
  const turns = await picture(file, '--label', 'Coat/top, Ankle boot');
  expect((await picture(file, '--label', '1,2,1,2')).equals(turns)).toBe(true);
  expect(turns.equals(named)).toBe(false);
});

test('every option of guidance and denoising reaches the picture', async () => {
  const file = await checkpoint(temporaryFolder());
  const base = ['--label', '1', '--guidance', '1.5'];
  const variants = [
    ['--label', '1'],
    base,
    [...base, '--annealed'],
    [...base, '--on', 'a'],
    [...base, '--on', 'b'],
    [...base, '--blocks', '0'],
    [...base, '--temperature', '0.5'],
    [...base, '--precision', 'bfloat16'],
    [...base, '--denoise'],
    [...base, '--denoise', '3'],
    [...base, '--rule', 'product'],
  ];
  const pictures: string[] = [];
  for (const options of variants) {
    pictures.push((await picture(file, ...options)).toString('base64'));
  }
  const twins = variants.filter((_, i) => pictures.indexOf(pictures[i] as string) !== i);
  expect(twins).toEqual([]);
  expect((await picture(file, ...base, '--on', 'ab')).toString('base64')).toBe(pictures[1]);
  expect((await picture(file, ...base, '--denoise', '1')).toString('base64')).toBe(pictures[8]);
});

test('numbers that are not finite are told of', async () => {
  const file = await checkpoint(temporaryFolder());
  const options = ['--label', '1', '--out', path.join(path.dirname(file), 'grid.png')];
  expect((await tarflow('sample', file, ...options)).stderr).toBe('');
  const { code, stderr } = await tarflow('sample', file, ...options, '--guidance', '1e9');
  expect(code).toBe(0);
  expect(stderr).toContain('not finite');
});

test('the JSON says what was drawn', async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const out = path.join(folder, 'new', 'grid.png');
  const options = ['--count', '3', '--label', 'bag,2', '--denoise', '--seed', '9', '--json'];
  const { code, stdout } = await tarflow('sample', file, '--out', out, ...options);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    checkpoint: file,
    out,
    images: 3,
    label: [0, 2, 0],
    denoise: { sigma: 0.1, multiplier: 1 },
    seed: 9,
  });
  expect(fs.readdirSync(path.dirname(out))).toEqual(['grid.png']);
});

describe("a user's mistake exits 2, names the thing and the remedy, and leaves nothing", () => {
  async function mistake(file: string, message: RegExp, ...options: string[]): Promise<void> {
    const folder = path.dirname(file);
    const before = fs.readdirSync(folder);
    const tensors = tf.memory().numTensors;
    const out = options.includes('--out') ? [] : ['--out', path.join(folder, 'new', 'grid.png')];
    const { code, stdout, stderr } = await tarflow('sample', file, ...out, ...options);
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe('');
    expect(fs.readdirSync(folder)).toEqual(before);
    expect(tf.memory().numTensors).toBe(tensors);
  }

  test('a label that is out of range or unknown', async () => {
    const file = await checkpoint(temporaryFolder());
    await mistake(file, /no label '3'.*0 to 2 \(Bag, Coat\/top, Ankle boot\)/, '--label', '3');
    await mistake(file, /no label 'Hat'.*Bag/, '--label', 'Hat');
    await mistake(file, /no label '-1'/, '--label', '-1');
    await mistake(file, /no label ''/, '--label', '1,');
  });

  test('a label for a model without classes', async () => {
    const file = await checkpoint(temporaryFolder(), { classes: 0 });
    await mistake(file, /without classes.*Leave --label out/, '--label', '0');
  });

  test('guidance that does not fit', async () => {
    const file = await checkpoint(temporaryFolder());
    const guided = ['--label', '0', '--guidance', '1'];
    await mistake(file, /weight is -1/, '--label', '0', '--guidance', '-1');
    await mistake(file, /on is "c"/, '--label', '0', '--guidance', '1', '--on', 'c');
    await mistake(file, /rule is "sum".*"linear"\|"product"/, ...guided, '--rule', 'sum');
    await mistake(file, /annealing/, ...guided, '--rule', 'product', '--annealed');
    await mistake(file, /--rule came without guidance/, '--rule', 'product');
    await mistake(file, /block 2.*0 to 1/, '--label', '0', '--guidance', '1', '--blocks', '2');
    await mistake(file, /temperature is 0/, '--guidance', '1', '--temperature', '0');
    await mistake(file, /--annealed came without guidance/, '--annealed');
    await mistake(file, /change nothing.*--temperature.*--label/, '--guidance', '1');
  });

  test('denoising without Gaussian noise', async () => {
    const uniform = { noise: { kind: 'uniform' as const } };
    const file = await checkpoint(temporaryFolder(), {}, uniform);
    await mistake(file, /uniform noise.*leave --denoise out/, '--denoise');
    const silent = await checkpoint(temporaryFolder(), {}, {});
    await mistake(silent, /does not say its noise/, '--denoise');
  });

  test('a picture of what has other channels than pictures', async () => {
    const image = { channels: 8, height: 4, width: 4 };
    const file = await checkpoint(temporaryFolder(), { image });
    await mistake(file, /have 8 channels.*\.safetensors.*tarflow decode/);
  });

  test('an encoder of captions for a model of classes; a step away from the clean image', async () => {
    const file = await checkpoint(temporaryFolder());
    await mistake(file, /reads no captions.*in place of --text-enc/, '--text-encoder', 'minilm');
    await mistake(file, /multiplier -1\. Expected a number above 0/, '--denoise', '-1');
  });

  test('a picture that cannot be written', async () => {
    const folder = temporaryFolder();
    const file = await checkpoint(folder);
    const out = unwritablePath(folder, 'grid.png');
    await mistake(file, /grid\.png cannot be written.*is a file, not a folder/, '--out', out);
    await mistake(file, /ends in \.png/, '--out', path.join(folder, 'grid.jpg'));
    fs.mkdirSync(path.join(folder, 'folder.png'));
    await mistake(file, /it is a folder/, '--out', path.join(folder, 'folder.png'));
  });

  test('a checkpoint that is missing, empty, truncated or corrupt', async () => {
    const file = await checkpoint(temporaryFolder());
    await mistake(path.join(path.dirname(file), 'none.safetensors'), /none\.safetensors/);
    const bytes = fs.readFileSync(file);
    for (const length of [0, 5, 200, bytes.length - 1]) {
      fs.writeFileSync(file, bytes.subarray(0, length));
      await mistake(file, /checkpoint\.safetensors/);
    }
    const damaged = (from: string, to: string) => {
      const text = bytes.toString('latin1');
      expect(text).toContain(from);
      expect(to.length).toBe(from.length);
      fs.writeFileSync(file, Buffer.from(text.replace(from, to), 'latin1'));
    };
    damaged('"F32"', '"F33"');
    await mistake(file, /checkpoint\.safetensors.*F33/);
    damaged('blocks.1.pos_embed', 'blocks.9.pos_embed');
    await mistake(
      file,
      /checkpoint\.safetensors .*it lacks blocks\.1\.pos_embed; it has besides blocks\.9\.pos_embed\./,
    );
    damaged('\\"headWidth\\":4', '\\"headWidth\\":3');
    await mistake(file, /checkpoint\.safetensors: headWidth 3 does not divide channels 8/);
    damaged('\\"headWidth\\":4', '\\"headWodth\\":4');
    await mistake(file, /checkpoint\.safetensors: the metadata 'config'.*headWidth/);
    damaged('\\"kind\\":\\"gaussian\\"', '\\"kind\\":\\"gaussiam\\"');
    await mistake(file, /checkpoint\.safetensors: the metadata 'details'.*noise/);
    damaged('{\\"kind\\"', '[\\"kind\\"');
    await mistake(file, /checkpoint\.safetensors: the metadata 'config'.*JSON/);
  });
});
