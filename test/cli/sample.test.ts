import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { CheckpointDetails } from '../../src/training/checkpoint.js';
import { savedFlow, smallConfig } from '../training/small.js';
import {
  expectRefused,
  type Mistake,
  type Outcome,
  refused,
  succeeds,
  tarflow,
  temporaryFolder,
  unwritablePath,
} from './command-line.js';

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
  const asked = ['--count', '4', '--mode', 'eager', '--out', out, ...options];
  await succeeds(tarflow('sample', file, ...asked));
  expect(tf.memory().numTensors).toBe(before);
  const bytes = await sharp(fs.readFileSync(out)).png().toBuffer();
  fs.rmSync(out);
  return bytes;
}

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

test('every option of seed, prior, guidance and denoising reaches the picture', async () => {
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
    [...base, '--seed', '8'],
    [...base, '--prior-temperature', '0.5'],
  ];
  const pictures: string[] = [];
  for (const options of variants) {
    pictures.push((await picture(file, ...options)).toString('base64'));
  }
  const twins = variants.filter((_, i) => pictures.indexOf(pictures[i] as string) !== i);
  expect(twins).toEqual([]);
  const usual = ['--on', 'ab', '--seed', '0', '--prior-temperature', '1'];
  expect((await picture(file, ...base, ...usual)).toString('base64')).toBe(pictures[1]);
  expect((await picture(file, ...base, '--denoise', '1')).toString('base64')).toBe(pictures[8]);
});

test('numbers that are not finite are told of', async () => {
  const file = await checkpoint(temporaryFolder());
  const options = ['--label', '1', '--out', path.join(path.dirname(file), 'grid.png')];
  expect((await tarflow('sample', file, ...options)).stderr).toBe('');
  const { stderr } = await succeeds(tarflow('sample', file, ...options, '--guidance', '1e9'));
  expect(stderr).toMatch(/16 of 16 samples diverged: .*not finite.*a smaller --guidance/);
});

test('the JSON says what was drawn', async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const out = path.join(folder, 'new', 'grid.png');
  const options = ['--count', '3', '--label', 'bag,2', '--denoise', '--seed', '9', '--json'];
  const { stdout } = await succeeds(tarflow('sample', file, '--out', out, ...options));
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

test('each picture in a folder says how it was made', async () => {
  const folder = temporaryFolder();
  const silent = await checkpoint(folder, {}, { classNames: ['Bag', 'Coat', 'Boot'] });
  const out = path.join(folder, 'pictures');
  const options = ['--count', '2', '--label', 'coat,bag', '--denoise', '--sigma', '0.1'];
  await succeeds(tarflow('sample', silent, '--out', out, ...options));
  const { exif } = await sharp(path.join(out, 'image-1.png')).metadata();
  const [, said = ''] = /(\{.*\})/s.exec(exif?.toString() ?? '') ?? [];
  expect(JSON.parse(said)).toMatchObject({
    image: 1,
    label: 0,
    seed: 0,
    denoise: { sigma: 0.1, multiplier: 1 },
  });
});

/** A checkpoint in a folder of its own below one. */
function checkpointIn(folder: string, name: string, ...what: [Partial<TarFlowConfig>?, object?]) {
  fs.mkdirSync(path.join(folder, name));
  return checkpoint(path.join(folder, name), ...what);
}

test("a user's mistake exits 2, names the thing and the remedy, and leaves nothing", async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const bare = await checkpointIn(folder, 'bare', { classes: 0 });
  const uniform = await checkpointIn(folder, 'uniform', {}, { noise: { kind: 'uniform' } });
  const silent = await checkpointIn(folder, 'silent', {}, {});
  const wide = await checkpointIn(folder, 'wide', { image: { channels: 8, height: 4, width: 4 } });
  const guided = ['--label', '0', '--guidance', '1'];
  const mistakes: Mistake[] = [
    [file, ['--label', '3'], /no label '3'.*0 to 2 \(Bag, Coat\/top, Ankle boot\)/],
    [file, ['--label', 'Hat'], /no label 'Hat'.*Bag/],
    [file, ['--label', '-1'], /no label '-1'/],
    [file, ['--label', '1,'], /no label ''/],
    [bare, ['--label', '0'], /without classes.*Leave --label out/],
    [file, ['--label', '0', '--guidance', '-1'], /--guidance .*'-1' is invalid/],
    [file, [...guided, '--on', 'c'], /--on <ab>.*'c' is invalid\. .*a, b, ab/],
    [file, [...guided, '--rule', 'sum'], /--rule <rule>.*'sum' is invalid\. .*linear, product/],
    [file, [...guided, '--rule', 'product', '--annealed'], /annealing/],
    [
      file,
      ['--rule', 'product'],
      /--rule came without --guidance above 0\. Add it, or leave --rule out/,
    ],
    [file, [...guided, '--blocks', '2'], /block 2.*0 to 1/],
    [
      file,
      ['--guidance', '1', '--temperature', '0'],
      /--temperature .*'0' is invalid\. Expected a number above 0/,
    ],
    [file, ['--annealed'], /--annealed came without --guidance/],
    [file, ['--guidance', '1'], /change nothing.*--temperature.*--label/],
    [uniform, ['--denoise'], /uniform noise.*leave --denoise out/],
    [silent, ['--denoise'], /does not say its noise.*give --sigma, or/],
    [silent, ['--sigma', '0.1'], /--sigma came without --denoise/],
    [uniform, ['--denoise', '--sigma', '0.1'], /--sigma is 0\.1, .*uniform noise/],
    [file, ['--denoise', '--sigma', '0.2'], /--sigma is 0\.2, .*sigma 0\.1/],
    [file, ['--denoise', '-1'], /multiplier -1\. Expected a number above 0/],
    [file, ['--prior-temperature', '-1'], /temperature of the prior is -1/],
    [wide, [], /have 8 channels.*\.safetensors.*tarflow decode/],
    [
      file,
      ['--count', '1000000000000'],
      /1,000,000,000,000 images of 1×8×8 take [\d,]+ GB of memory/,
    ],
    [file, ['--text-encoder', 'minilm'], /reads no captions.*in place of --text-enc/],
    [path.join(folder, 'none.safetensors'), [], /none\.safetensors/],
  ];
  await expectRefused('sample', folder, mistakes, ['--out', path.join(folder, 'new', 'grid.png')]);
  const [out, grid] = [unwritablePath(folder, 'grid.png'), path.join(folder, 'folder.png')];
  fs.mkdirSync(grid);
  const places: Mistake[] = [
    [file, ['--out', out], /grid\.png cannot be written.*is a file, not a folder/],
    [file, ['--out', path.join(folder, 'grid.jpg')], /ends in \.png/],
    [file, ['--out', grid], /it is a folder/],
  ];
  await expectRefused('sample', folder, places, []);
});

test('samples are no model, and a folder without a run is named as it was given', async () => {
  const folder = temporaryFolder();
  const file = await checkpoint(folder);
  const [samples, empty] = [path.join(folder, 's.safetensors'), path.join(folder, 'empty')];
  fs.mkdirSync(empty);
  await succeeds(tarflow('sample', file, '--count', '2', '--mode', 'eager', '--out', samples));
  const out = ['--out', path.join(folder, 'x.png')];
  for (const command of ['sample', 'bpd']) {
    const more = command === 'sample' ? out : [];
    expect(await refused(tarflow(command, samples, ...more))).toContain(
      `holds images (samples or latents), and no model. Name a model: they were drawn by ${file}`,
    );
    expect(await refused(tarflow(command, empty, ...more))).toContain(
      `${empty} holds no run. Expected the folder of a run`,
    );
  }
  fs.writeFileSync(path.join(empty, 'run.json'), '{}');
  expect(await refused(tarflow('sample', empty, ...out))).toMatch(/has saved no model yet/);
});

test('a checkpoint that is truncated or corrupt is named', async () => {
  const file = await checkpoint(temporaryFolder());
  const folder = path.dirname(file);
  const out = ['--out', path.join(folder, 'grid.png')];
  const mistake = (message: RegExp) => expectRefused('sample', folder, [[file, [], message]], out);
  const bytes = fs.readFileSync(file);
  fs.writeFileSync(file, bytes.subarray(0, bytes.length - 1));
  await mistake(/checkpoint\.safetensors/);
  fs.writeFileSync(file, Buffer.from(bytes).fill(bytes.at(-1)! ^ 1, bytes.length - 1));
  await mistake(/checkpoint\.safetensors: tensor '.*' has other bytes than were written/);
  const damaged = (from: string, to: string) => {
    // As by a program that knows of no sums.
    const text = bytes.toString('latin1').replace('"tarflow.crc32":', '"another.name0":');
    expect(text).toContain(from);
    expect(to.length).toBe(from.length);
    fs.writeFileSync(file, Buffer.from(text.replace(from, to), 'latin1'));
  };
  damaged('blocks.1.pos_embed', 'blocks.9.pos_embed');
  await mistake(
    /checkpoint\.safetensors .*it lacks blocks\.1\.pos_embed; it has besides blocks\.9\.pos_embed\./,
  );
  damaged('\\"headWidth\\":4', '\\"headWidth\\":3');
  await mistake(/checkpoint\.safetensors: headWidth 3 does not divide channels 8/);
  damaged('{\\"kind\\"', '[\\"kind\\"');
  await mistake(/checkpoint\.safetensors: the metadata 'config'.*JSON/);
});

describe('parts of samples', () => {
  const judge = path.join('results', 'checkpoints', 'fashion-mnist-classifier.safetensors');
  const network = ['--network', `classifier:${judge}`];

  /** 150 samples of two classes in turn, in one file and in three parts. */
  async function drawnBothWays() {
    const folder = temporaryFolder();
    const file = await checkpoint(folder, {
      image: { channels: 1, height: 28, width: 28 },
      patchSize: 14,
    });
    const whole = path.join(folder, 'whole.safetensors');
    const parts = path.join(folder, 'parts');
    const draw = (...more: string[]) =>
      tarflow(
        'sample',
        file,
        '--count',
        '150',
        '--label',
        '2,0,1',
        '--prior-temperature',
        '0.2',
        ...more,
      );
    await succeeds(draw('--out', whole));
    return { whole, parts, draw };
  }
  const images = async (file: string) =>
    Buffer.from((await readSafetensors(file)).tensors.images!.data.buffer);

  test('are those of one process, bit for bit, and are compared like one file', async () => {
    const { whole, parts, draw } = await drawnBothWays();
    for (const part of ['3/3', '1/3', '2/3']) await succeeds(draw('--out', parts, '--part', part));
    const files = [1, 2, 3].map((part) => path.join(parts, `part-${part}-of-3.safetensors`));
    const joined = Buffer.concat(await Promise.all(files.map(images)));
    expect(joined.equals(await images(whole))).toBe(true);

    const kept = await succeeds(
      tarflow('distance', parts, 'fashion-mnist/validation', '--part', '2/3', ...network, '--json'),
    );
    expect(JSON.parse(kept.stdout)).toMatchObject({ images: 64, file: files[1] });
    const compare = async (what: string, ...more: string[]) => {
      const real = ['fashion-mnist/validation', '--count', '140', ...more];
      return JSON.parse(
        (await succeeds(tarflow('distance', what, ...real, ...network, '--json'))).stdout,
      );
    };
    for (const how of [[], ['--frechet-only']]) {
      const [one, several] = [await compare(whole, ...how), await compare(parts, ...how)];
      expect(several.frechet / one.frechet).toBeCloseTo(1, 5);
      expect(several.precision).toBe(one.precision);
    }
    // Kept features are taken, and only those of the same samples.
    const features = fs.readdirSync(parts).filter((name) => name.includes('.features-'));
    expect(features).toHaveLength(3);
    const before = await compare(parts, '--frechet-only');
    fs.copyFileSync(files[0]!, files[1]!);
    expect((await compare(parts, '--frechet-only')).frechet).not.toBe(before.frechet);
  });

  test('that are there are not drawn again; one that is lost or damaged is', async () => {
    const { parts, draw } = await drawnBothWays();
    const file = path.join(parts, 'part-2-of-3.safetensors');
    const second = (...more: string[]) => succeeds(draw('--out', parts, '--part', '2/3', ...more));
    await second();
    const bytes = fs.readFileSync(file);
    expect((await second()).stdout).toMatch(/part-2-of-3\.safetensors is there/);
    expect(JSON.parse((await second('--json')).stdout)).toMatchObject({ from: 64, count: 64 });
    for (const harm of [
      () => fs.rmSync(file),
      () => fs.writeFileSync(file, bytes.subarray(0, 5000)),
      () =>
        fs.writeFileSync(
          file,
          bytes.map((byte, i) => (i === 150_000 ? byte ^ 64 : byte)),
        ),
    ]) {
      harm();
      expect((await second()).stdout).toMatch(/64 samples in/);
      expect((await images(file)).byteLength).toBe(64 * 28 * 28 * 4);
    }
    expect(await refused(draw('--out', parts, '--part', '2/3', '--seed', '1'))).toMatch(
      /is there, of other weights or options/,
    );
  });

  test('say what is missing or does not fit', async () => {
    const { parts, draw } = await drawnBothWays();
    const compare = () => tarflow('distance', parts, 'fashion-mnist/validation', ...network);
    const part = (text: string, ...more: string[]) => draw('--out', parts, '--part', text, ...more);
    const first = () =>
      tarflow('distance', parts, 'fashion-mnist/train', '--part', '1/3', ...network);
    const mistakes: [() => Promise<Outcome>, RegExp][] = [
      [() => part('4/3'), /Expected a number and of how many/],
      [
        () => part('1/4'),
        /--part 1\/4 came for 150 samples, .*64 at a time.*Expected at most 3 parts/s,
      ],
      [
        () => draw('--out', `${parts}.png`, '--part', '1/3'),
        /Expected a folder, which all parts share/,
      ],
      [first, /part-1-of-3/],
    ];
    for (const [run, message] of mistakes) expect(await refused(run())).toMatch(message);
    await succeeds(part('1/3'));
    await succeeds(part('3/3'));
    expect(await refused(part('1/2'))).toMatch(
      /--part 1\/2 came, and .*part-1-of-3\.safetensors is there.*Expected a part of 3/s,
    );
    expect(await refused(compare())).toMatch(
      /2 files of parts without part 2, and part 1 is one of 3/,
    );
    await succeeds(part('2/3', '--seed', '5'));
    expect(await refused(compare())).toMatch(
      /part-2-of-3\.safetensors was drawn otherwise than .*part-1/,
    );
  });
});
