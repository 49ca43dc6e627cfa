import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { beforeEach, describe, expect, test } from 'vitest';
import { openImageSet } from '../../src/cli/image-sets.js';
import { integers, randomKey } from '../../src/core/index.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { refused, succeeds, tarflow, temporaryFolder, tiny } from './command-line.js';

const size = 36;
const address = 'https://github.com/clovaai/stargan-v2';

/** A small AFHQ of noise: 20 training and 10 test images a class. */
async function writeAfhq(): Promise<string> {
  const root = path.join(temporaryFolder(), 'afhq');
  let made = 0;
  for (const [split, count] of [
    ['train', 20],
    ['test', 10],
  ] as const) {
    for (const of of ['cat', 'dog', 'wild']) {
      const folder = path.join(root, split, of);
      fs.mkdirSync(folder, { recursive: true });
      for (let i = 0; i < count; i++) {
        const pixels = Uint8Array.from(integers(randomKey(made++), size * size * 3, 0, 256));
        await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
          .jpeg()
          .toFile(path.join(folder, `${String(i).padStart(3, '0')}.jpg`));
      }
    }
  }
  return root;
}

let root: string;
beforeEach(async () => {
  root = await writeAfhq();
});

const shape = ['--set', ...tiny, 'classes=3', 'image.channels=3'];
const experiment = ['train', '--experiment', 'mnist-demonstration'];

test('train and bpd take a set from its folder', async () => {
  const out = path.join(temporaryFolder(), 'run');
  const damaged = path.join(root, 'train', 'cat', '003.jpg');
  fs.writeFileSync(damaged, 'hello');
  const data = ['--data', `afhq:${root}`];
  const trained = await succeeds(tarflow(...experiment, '--out', out, ...data, ...shape, '--json'));
  expect(trained.stderr).toContain(`on afhq:${root}`);
  const described = JSON.parse(fs.readFileSync(path.join(out, 'run.json'), 'utf8'));
  expect(described).toMatchObject({ data: 'afhq', config: { classes: 3, image: { channels: 3 } } });

  const checkpoint = path.join(out, 'checkpoint.safetensors');
  const test = [
    '--split',
    'test',
    '--reason',
    'a test',
    '--ledger',
    path.join(out, 'ledger.jsonl'),
  ];
  const measured = await succeeds(tarflow('bpd', checkpoint, ...data, ...test, '--json'));
  expect(JSON.parse(measured.stdout)).toMatchObject({ split: 'test', images: 30 });
  // The checkpoint knows where its data were; the name alone says no folder.
  const without = await succeeds(tarflow('bpd', checkpoint, '--json'));
  expect(JSON.parse(without.stdout)).toMatchObject({ data: 'afhq', split: 'validation' });
  const named = await refused(tarflow('bpd', checkpoint, '--data', 'afhq'));
  expect(named).toMatch(/set afhq came without its folder \(afhq:PATH\)/);
  expect(named).toContain(address);

  const fast = path.join(temporaryFolder(), 'fast');
  const set = [...shape, 'steps=1'];
  await succeeds(tarflow(...experiment, '--out', fast, ...data, '--fast-decode', ...set));
  const other = JSON.parse(fs.readFileSync(path.join(fast, 'run.json'), 'utf8'));
  expect(other.data).toBe('afhq, fast decode');
});

test('a set with other classes than the model, or none, is refused', async () => {
  const out = path.join(temporaryFolder(), 'run');
  const set = ['--set', ...tiny, 'image.channels=3'];
  const classes = await tarflow(...experiment, '--out', out, '--data', `afhq:${root}`, ...set);
  expect(classes.code).toBe(2);
  expect(classes.stderr).toMatch(/afhq has 3 classes and the model 10/);
  const empty = temporaryFolder();
  const absent = await refused(
    tarflow(...experiment, '--out', out, '--data', `afhq:${empty}`, ...shape),
  );
  expect(absent).toContain(`${empty} has no folder train`);
  expect(absent).toContain(address);
  expect(fs.existsSync(out)).toBe(false);
});

describe('distance', () => {
  const judge = path.join('results', 'checkpoints', 'fashion-mnist-classifier.safetensors');
  const more = ['--network', `classifier:${judge}`, '--json'];

  test('brings a set to the size and the channels of the images', async () => {
    expectNoTensorsLeft();
    const samples = path.join(temporaryFolder(), 'samples.safetensors');
    const data = Float32Array.from(integers(randomKey(1), 25 * 784, 0, 256), (k) => k / 128 - 1);
    const images = { dtype: 'F32' as const, shape: [25, 1, 28, 28], data };
    await writeSafetensors(samples, { images });
    const { stdout } = await succeeds(
      tarflow(
        ...['distance', samples, `afhq:${root}/train+validation`, '--floor', `afhq:${root}/test`],
        ...more,
      ),
    );
    expect(JSON.parse(stdout)).toMatchObject({
      images: 25,
      realImages: 60,
      floor: { real: `afhq:${root}/test`, images: 25 },
    });
  });

  test('takes pictures and sets at the size asked for', async () => {
    const asked = { channels: 3, height: 20, width: 20 };
    const usual = { channels: 1, height: 10, width: 10 };
    const own = { channels: 3, height: size, width: size };
    const pictures = path.join(root, 'test');
    const shape = async (name: string, sizes = {}) => (await openImageSet(name, sizes)).image;
    expect(await shape(pictures, { asked, usual })).toEqual(asked);
    expect(await shape(pictures, { usual })).toEqual(own);
    expect(await shape(`afhq:${root}/validation`, { asked, usual })).toEqual(asked);
    expect(await shape(`afhq:${root}/test`, { usual })).toEqual(usual);
    expect(await shape(`afhq:${root}/test`)).toEqual(own);
    await expect(shape(`afhq:${root}/`)).rejects.toThrow(
      `afhq:${root}/ came without a split. Expected afhq:${root}/train, afhq:${root}/validation`,
    );
    expect(await openImageSet(`folder:${root}/test`, { usual })).toMatchObject({
      ...{ name: `folder:${root}/test`, length: 30, image: usual },
    });
  });

  test('says what of a set is missing', async () => {
    const set = `imagenet:${root}/test`;
    const { code, stderr } = await tarflow('distance', set, `afhq:${root}/test`, ...more);
    expect(code).toBe(2);
    expect(stderr).toMatch(/many sizes\. .*--size/);
    expect(
      await refused(tarflow('distance', set, `afhq:${root}/test`, ...more, '--size', '28')),
    ).toContain('https://image-net.org/download');
  });
});
