import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import { openDataset, type Split } from '../../../src/data/index.js';
import { sourceOf } from '../../../src/data/open.js';
import { batchSource, noisyImageFeeds } from '../../../src/training/batches/index.js';
import { tarOf } from '../../formats/tar-writer.js';
import { smallConfig, smallSettings } from '../../training/small.js';
import { levelsOf, madeSet, picture } from './made-set.js';

const { root, cache, write } = madeSet();
const image = { channels: 3, height: 4, width: 4 };
const open = (split: Split, more = {}) =>
  openDataset(`imagenet:${root}`, split, { image, ...more });

/** Not in their order. */
const wnids = ['n02119789', 'n01440764', 'n02100735'];
const sorted = [...wnids].sort();
const perClass = 20;

/** The training images: their class, name, and grey level, which says which it is. */
const training = wnids.flatMap((wnid) =>
  Array.from({ length: perClass }, (_, i) => ({
    wnid,
    // Numbers of different lengths, so that their order by names is another.
    name: `${wnid}_${i * 7}.JPEG`,
    level: 3 * i + wnids.indexOf(wnid),
  })),
);
/** The validation images in their order. */
const validation = [2, 0, 1, 1, 0].map((of, i) => ({
  wnid: wnids[of] as string,
  name: `ILSVRC2012_val_0000000${i + 1}.JPEG`,
  level: 100 + i,
}));

type Listed = (typeof training)[number];

/** PNG files by the names of JPEGs: their grey levels come out as they are. */
async function contentOf(images: readonly Listed[]) {
  return Promise.all(images.map(async (one) => ({ ...one, content: await picture(one.level) })));
}

async function writeFolders(): Promise<void> {
  for (const { wnid, name, content } of await contentOf(training))
    write(`train/${wnid}/${name}`, content);
}

async function writeArchive(): Promise<string> {
  const files = await contentOf(training);
  const inner = wnids.map((wnid) => {
    const own = files.filter((file) => file.wnid === wnid).reverse();
    return { name: `${wnid}.tar`, content: tarOf(own) };
  });
  return write('ILSVRC2012_img_train.tar', tarOf(inner));
}

/** Levels with labels, one of each class in turn, those of a class by their names. */
function inTurn(images: readonly Listed[], from = 0, to?: number): [number, number][] {
  const ofClass = sorted.map((wnid, label) =>
    images
      .filter((one) => one.wnid === wnid)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .slice(from, to)
      .map(({ level }): [number, number] => [level, label]),
  );
  const ranks = Array.from({ length: perClass }, (_, rank) => rank);
  return ranks.flatMap((rank) => ofClass.flatMap((own) => own.slice(rank, rank + 1)));
}
const expected = (from: number, to?: number) => inTurn(training, from, to);

describe.each([
  ['folders of classes', writeFolders],
  ['the official archive', writeArchive],
])('training images in %s', (_what, writeTraining) => {
  test('are the splits train and validation, classes and images sorted by name', async () => {
    await writeTraining();
    const train = await open('train');
    expect(train).toMatchObject({ name: 'imagenet', split: 'train', image, classes: sorted });
    expect(train.licence).toContain('image-net.org');
    expect(await levelsOf(train)).toEqual(expected(0, -2));
    expect(await levelsOf(await open('validation'))).toEqual(expected(-2));
    expect(await levelsOf(await open('train+validation'))).toEqual(expected(0));
  });

  test('are opened again from their description, by a structured clone', async () => {
    await writeTraining();
    const data = await open('train');
    const again = sourceOf(structuredClone(data.description));
    again.prefetch?.([5, 7]);
    expect(await levelsOf(again, [7, 5, 0])).toEqual(await levelsOf(data, [7, 5, 0]));
  });

  test('become batches in a thread of its own, which opens them first', async () => {
    await writeTraining();
    const data = await open('train');
    const source = await batchSource(
      {
        config: { ...smallConfig, image },
        objectives: [{ name: 'likelihood', feeds: noisyImageFeeds }],
        settings: { ...smallSettings, batchSize: data.length, noise: { kind: 'none' } },
        data,
      },
      0,
      1,
    );
    const { images } = (await source.next()).likelihood ?? {};
    await source.close();
    const seen = Array.from(images ?? []).filter((_, i) => i % 48 === 0);
    const levels = seen.map((value) => Math.round((value + 1) * 127.5)).sort((a, b) => a - b);
    const wanted = expected(0, -2).map(([level]) => level);
    expect(levels).toEqual(wanted.sort((a, b) => a - b));
  });

  test('one that is damaged is named, and another of its class stands in', async () => {
    const file = await writeTraining();
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const target = file ?? path.join(root, 'train', wnids[1] as string, `${wnids[1]}_0.JPEG`);
    const bytes = fs.readFileSync(target);
    const whole = await picture(1);
    const at = file === undefined ? 0 : bytes.indexOf(whole);
    fs.writeFileSync(target, bytes.fill(7, at, at + 30));
    const data = await open('train');
    const [[level, label]] = (await levelsOf(data, [0])) as [[number, number]];
    // The next of the class 0, which comes after one of each other class.
    expect([level, label]).toEqual(expected(0)[3]);
    const [name] = data.damaged ?? [];
    expect(name).toContain(`${wnids[1]}_0.JPEG`);
    expect(name).toContain(target);
    expect(warn.mock.calls[0]?.[0]).toContain(name);
    const strict = await open('train', { damaged: 'refused' });
    await expect(strict.read([0])).rejects.toThrow(`The image ${name} cannot be decoded (`);
  });
});

test('the index of an archive is kept until the file changes', async () => {
  const file = await writeArchive();
  const first = await levelsOf(await open('train'));
  const folder = path.join(cache, 'data', 'archives');
  const [kept] = fs.readdirSync(folder);
  const before = fs.statSync(path.join(folder, kept as string));
  expect(await levelsOf(await open('train'))).toEqual(first);
  expect(fs.statSync(path.join(folder, kept as string)).mtimeMs).toBe(before.mtimeMs);
  // A damaged index is made anew.
  fs.writeFileSync(path.join(folder, kept as string), 'hello');
  expect(await levelsOf(await open('train'))).toEqual(first);
  fs.utimesSync(file, new Date(), new Date(2020, 1, 1));
  expect(await levelsOf(await open('train'))).toEqual(first);
  expect(fs.readdirSync(folder).length).toBe(2);
});

test('an index that cannot be kept is said, and the archive read', async () => {
  await writeArchive();
  vi.stubEnv('TARFLOW_CACHE', write('file', ''));
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  expect((await open('train')).length).toBe(3 * (perClass - 2));
  expect(warn.mock.calls[0]?.[0]).toMatch(/cannot be written .* will be indexed again next time/);
});

describe('the official validation images are the split test', () => {
  const wanted = inTurn(validation);

  const labels: Record<string, () => void> = {
    'a list by Kaggle': () => {
      const lines = validation.map(({ name, wnid }) => `${path.parse(name).name},${wnid} 1 2 3 4`);
      write('LOC_val_solution.csv', ['ImageId,PredictionString', ...lines].reverse().join('\n'));
    },
    'a list of ours': () => {
      write('val_labels.txt', validation.map(({ name, wnid }) => `${name} ${wnid}`).join('\r\n'));
    },
  };

  test.each(Object.keys(labels))('in a flat folder and in their archive, by %s', async (name) => {
    labels[name]?.();
    const files = await contentOf(validation);
    write('ILSVRC2012_img_val.tar', tarOf(files));
    const fromArchive = await open('test');
    expect(fromArchive.classes).toEqual(sorted);
    expect(await levelsOf(fromArchive)).toEqual(wanted);
    for (const { name, content } of files) write(`val/${name}`, content);
    fs.rmSync(path.join(root, 'ILSVRC2012_img_val.tar'));
    expect(await levelsOf(await open('test'))).toEqual(wanted);
  });

  test('in folders of classes, with the classes of the training images', async () => {
    for (const { wnid, name, content } of await contentOf(validation))
      write(`val/${wnid}/${name}`, content);
    expect(await levelsOf(await open('test'))).toEqual(wanted);
    write('train/n00000001/a.JPEG', await picture(0));
    await expect(open('test')).rejects.toThrow(
      /validation images in .*val have the class n01440764, which the training images lack/,
    );
    for (const wnid of wnids) write(`train/${wnid}/a.JPEG`, await picture(0));
    const data = await open('test');
    expect(data.classes).toEqual(['n00000001', ...sorted]);
    expect([...data.labels]).toEqual(wanted.map(([, label]) => label + 1));
  });

  test('take their classes from the training archive', async () => {
    labels['a list of ours']?.();
    write('ILSVRC2012_img_val.tar', tarOf(await contentOf(validation)));
    await writeArchive();
    expect((await open('test')).classes).toEqual(sorted);
  });

  test('without labels they are refused', async () => {
    write('ILSVRC2012_img_val.tar', tarOf(await contentOf(validation)));
    await expect(open('test')).rejects.toThrow(
      /no labels of them: neither LOC_val_solution\.csv nor val_labels\.txt .*kaggle\.com/,
    );
    write('val_labels.txt', `${validation[0]?.name} ${wnids[0]}`);
    await expect(open('test')).rejects.toThrow(
      /validation image ILSVRC2012_val_00000002\.JPEG has no label/,
    );
  });
});

describe('what is missing or damaged is told with the official address', () => {
  const address = 'Get ImageNet (ILSVRC 2012) from https://image-net.org/download. Expected in';
  const refused = async (split: Split = 'train'): Promise<string> => {
    const error = await open(split).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    return error.message;
  };

  test('the folder, or all in it', async () => {
    for (const split of ['train', 'validation', 'test', 'train+validation'] as const) {
      expect(await refused(split)).toContain(address);
    }
    const nowhere = openDataset(`imagenet:${root}/nowhere`, 'train', { image });
    await expect(nowhere).rejects.toThrow(`There is no folder ${root}/nowhere. ${address}`);
    await expect(openDataset('imagenet', 'train')).rejects.toThrow(
      `The data set imagenet came without its folder (imagenet:PATH). ${address}`,
    );
  });

  test('a class without images', async () => {
    await writeFolders();
    fs.mkdirSync(path.join(root, 'train', 'n00000001'));
    expect(await refused()).toContain('has no images of the class n00000001');
  });

  test('an inner archive that is cut short', async () => {
    const whole = tarOf(await contentOf(training.slice(0, 3)));
    const inner = { name: 'n01440764.tar', content: whole.subarray(0, 1500) };
    write('ILSVRC2012_img_train.tar', tarOf([inner, { name: 'b.tar', content: whole }]));
    expect(await refused()).toMatch(/img_train\.tar: n01440764\.tar ends inside/);
  });

  test('an archive that has become shorter since it was opened', async () => {
    const file = await writeArchive();
    const data = await open('train');
    fs.truncateSync(file, 2000);
    await expect(data.read([0])).rejects.toThrow(/img_train\.tar ends before byte/);
  });

  test('no size, or channels that no image has', async () => {
    await writeFolders();
    await expect(openDataset(`imagenet:${root}`, 'train')).rejects.toThrow(/have many sizes/);
    const four = { ...image, channels: 4 };
    await expect(open('train', { image: four })).rejects.toThrow(/of 4 channels/);
  });

  test('too few images for a split', async () => {
    write('train/n00000001/a.JPEG', await picture(0));
    expect(await refused('validation')).toMatch(/1 images in 1 classes, too few for a split valid/);
  });
});
