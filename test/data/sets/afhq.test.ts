import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDataset, type Split } from '../../../src/data/index.js';
import { levelsOf, madeSet, picture } from './made-set.js';

const { root, write } = madeSet();
const open = (split: Split, more = {}) => openDataset(`afhq:${root}`, split, more);
const classes = ['cat', 'dog', 'wild'];
const address = 'Get AFHQ from https://github.com/clovaai/stargan-v2. Expected in the folder:';

async function writeSplit(name: string, perClass: number, format: 'png' | 'jpeg'): Promise<void> {
  for (const [label, of] of classes.entries()) {
    for (let i = 0; i < perClass; i++) {
      const extension = format === 'png' ? 'png' : 'jpg';
      const content = await picture(8 * i + label, { width: 8, height: 8, format });
      write(`${name}/${of}/flickr_${of}_${String(i).padStart(6, '0')}.${extension}`, content);
    }
  }
}

/** One of each class in turn. */
const expected = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) =>
    classes.map((_, label) => [8 * (from + i) + label, label]),
  ).flat();

describe.each([
  ['the first version', 'val', 'jpeg'],
  ['the second version', 'test', 'png'],
] as const)('%s', (_what, testFolder, format) => {
  test('is split by its folders, and by the last of each class', async () => {
    await writeSplit('train', 20, format);
    await writeSplit(testFolder, 3, format);
    const train = await open('train');
    expect(train).toMatchObject({
      name: 'afhq',
      classes,
      image: { channels: 3, height: 8, width: 8 },
    });
    expect(train.licence).toContain('CC BY-NC 4.0');
    expect(await levelsOf(train)).toEqual(expected(0, 18));
    expect(await levelsOf(await open('validation'))).toEqual(expected(18, 20));
    expect(await levelsOf(await open('train+validation'))).toEqual(expected(0, 20));
    expect(await levelsOf(await open('test'))).toEqual(expected(0, 3));
  });
});

test('images come in the size asked for, and decoded fast under a name that says so', async () => {
  await writeSplit('test', 2, 'jpeg');
  const image = { channels: 1, height: 4, width: 4 };
  const data = await open('test', { image });
  expect(data.image).toEqual(image);
  expect(await levelsOf(data)).toEqual(expected(0, 2));
  const fast = await open('test', { image, fastDecode: true });
  expect(fast.name).toBe('afhq, fast decode');
  expect(await levelsOf(fast)).toEqual(expected(0, 2));
});

test('of larger classes the last hundred are held out', async () => {
  const content = await picture(1);
  for (const of of classes) {
    for (let i = 0; i < (of === 'dog' ? 1200 : 10); i++)
      write(`train/${of}/${i + 5000}.png`, content);
  }
  expect((await open('validation')).labels.filter((label) => label === 1).length).toBe(100);
  expect((await open('train')).length).toBe(1220 - 102);
});

describe('what is missing is told with the official address', () => {
  test('a folder', async () => {
    await expect(open('train')).rejects.toThrow(`${root} has no folder train. ${address}`);
    await expect(open('test')).rejects.toThrow(`${root} has no folder test or val. ${address}`);
  });

  test('a class, or its images', async () => {
    await writeSplit('train', 2, 'png');
    fs.rmSync(path.join(root, 'train', 'dog'), { recursive: true });
    const problem = `${path.join(root, 'train')} has no images of the class dog. ${address}`;
    await expect(open('train')).rejects.toThrow(problem);
    fs.mkdirSync(path.join(root, 'train', 'dog'));
    await expect(open('train')).rejects.toThrow(problem);
  });

  test('a class that is none', async () => {
    await writeSplit('train', 2, 'png');
    write('train/zebra/a.png', await picture(0));
    await expect(open('train')).rejects.toThrow(/train has the folder zebra\. Get AFHQ/);
  });
});
