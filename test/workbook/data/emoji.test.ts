import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as zlib from 'node:zlib';
import sharp from 'sharp';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { cacheFolder } from '../../../src/core/cache-folder.js';
import { UserError } from '../../../src/core/errors.js';
import {
  datasetNames,
  type ImageDataset,
  loadDataset,
  pixelBatch,
} from '../../../src/data/index.js';
import '../../../workbook/data/emoji.js';
import { baseEmoji, emojiName } from '../../../workbook/data/emoji-names.js';
import { sharedFolder } from '../../temporary-folder.js';

const prefixes = ['emoji-base', 'emoji', 'emoji-google', 'emoji-twitter'];
const allPrefixes = [...prefixes, 'emoji-composed', 'emoji-subcategories'];

test('the workbook makes the emoji sets known by name', () => {
  const names = [32, 64].flatMap((size) => allPrefixes.map((prefix) => `${prefix}-${size}`));
  expect(datasetNames.filter((name) => name.startsWith('emoji'))).toEqual([
    ...names,
    'emoji-fluent-128',
    'emoji-fluent-256',
  ]);
});

describe('baseEmoji', () => {
  test.each([
    ['a smiley', '1F600', '1F600'],
    ['a skin tone on an emoji', '1F44B-1F3FD', '1F44B'],
    ['emoji style', '261D-FE0F', '261D'],
    ['a woman’s occupation', '1F469-200D-1F680', '1F9D1-1F680'],
    ['the same in a skin tone', '1F469-1F3FF-200D-1F680', '1F9D1-1F680'],
    ['a man running', '1F3C3-1F3FB-200D-2642-FE0F', '1F3C3'],
    ['a man running to the right', '1F3C3-200D-2642-FE0F-200D-27A1-FE0F', '1F3C3'],
    ['a red-haired woman', '1F469-200D-1F9B0', '1F9D1'],
    ['a girl', '1F467', '1F9D2'],
    ['a princess', '1F478', '1FAC5'],
    ['a family of four', '1F468-200D-1F469-200D-1F467-200D-1F466', '1F46A'],
    ['a woman and her son', '1F469-200D-1F466', '1F46A'],
    ['two women holding hands', '1F46D', '1F9D1-1F91D-1F9D1'],
    ['the same, written out', '1F469-1F3FB-200D-1F91D-200D-1F469-1F3FF', '1F9D1-1F91D-1F9D1'],
    ['a kiss', '1F469-200D-2764-FE0F-200D-1F48B-200D-1F468', '1F48F'],
    ['the flag of Norway’s islands', '1F1F8-1F1EF', '1F1F3-1F1F4'],
    ['a black cat, which is no cat', '1F408-200D-2B1B', '1F408-2B1B'],
    ['the female sign', '2640-FE0F', '2640-FE0F'],
    ['an arrow to the right', '27A1-FE0F', '27A1-FE0F'],
    ['a skin tone alone', '1F3FB', '1F3FB'],
  ])('of %s', (_what, code, base) => {
    expect(baseEmoji(code)).toBe(base);
  });

  test('of a base emoji is itself', () => {
    for (const base of [
      '1F46A',
      '1F48F',
      '1F491',
      '1F9D1',
      '1FAC5',
      '1F9D1-1F384',
      '1F1F3-1F1F4',
    ]) {
      expect(baseEmoji(base)).toBe(base);
    }
  });
});

describe('a small set of our own', () => {
  const folder = sharedFolder();
  const data = path.join(folder, 'data', 'emoji');
  const tones = ['1F3FB', '1F3FC', '1F3FD', '1F3FE', '1F3FF'];
  const drawings = [
    ...Array.from({ length: 20 }, (_, i) =>
      drawing(`1F6${i + 10}`, `smiley-${i}`, 'Smileys & Emotion'),
    ),
    ...['1F680', '1F692', '1F33E'].flatMap((job) => [
      // A man, a woman, a person, in this order: the plain one is not the first.
      ...['1F468', '1F469', '1F9D1'].flatMap((who) => {
        const code = `${who}-200D-${job}`;
        const colours = tones.map((tone) => `${who}-${tone}-200D-${job}`);
        return [code, ...colours].map((each) => ({
          ...drawing(each, `${who}-${job}`, 'People & Body'),
          entry: code,
        }));
      }),
    ]),
    drawing('1F1F8-1F1EF', 'flag-sj', 'Flags'),
    drawing('1F1F3-1F1F4', 'flag-no', 'Flags'),
    drawing('1F1EB-1F1F7', 'fr', 'Flags'),
  ];
  const vendors = ['google', 'twitter'];

  function drawing(code: string, shortName: string, category: string) {
    return {
      code,
      entry: code,
      shortName,
      category,
      subcategory: `${category} ${code.length % 2}`,
    };
  }

  /** Every value of a picture says which one it is. */
  const mark = (vendor: number, index: number) => 2 * index + vendor;

  function writeImages(vendor: string, size: number, count: number): void {
    const header = Buffer.from([0, 0, 8, 4, ...Array(16).fill(0)]);
    [count, 3, size, size].forEach((length, axis) => {
      header.writeUInt32BE(length, 4 + 4 * axis);
    });
    const pictures = Array.from({ length: count }, (_, index) =>
      Buffer.alloc(3 * size * size, mark(vendors.indexOf(vendor), index)),
    );
    fs.writeFileSync(
      path.join(data, `${vendor}-${size}-images-idx4-ubyte.gz`),
      zlib.gzipSync(Buffer.concat([header, ...pictures])),
    );
  }

  beforeEach(() => {
    vi.stubEnv('TARFLOW_CACHE', folder);
    fs.rmSync(data, { recursive: true, force: true });
    fs.mkdirSync(data, { recursive: true });
    fs.writeFileSync(path.join(data, 'emoji.json'), JSON.stringify(drawings));
    for (const vendor of vendors) writeImages(vendor, 32, drawings.length);
    return () => vi.unstubAllEnvs();
  });
  const marks = (dataset: ImageDataset) =>
    Array.from({ length: dataset.length }, (_, i) => pixelBatch(dataset, [i])[0] as number);

  test('is split by base emoji: no variant, and no other vendor’s drawing, across', async () => {
    const splits = await Promise.all([
      loadDataset('emoji-32', 'train'),
      loadDataset('emoji-32', 'test'),
      loadDataset('emoji-32', 'validation'),
    ]);
    const [train, test_, validation] = splits.map(marks) as [number[], number[], number[]];
    expect([...train, ...validation, ...test_].sort((a, b) => a - b)).toEqual([
      ...Array(2 * drawings.length).keys(),
    ]);
    const bases = (found: number[]) =>
      new Set(found.map((each) => baseEmoji(drawings[each >> 1]?.entry as string)));
    const sides = [train, validation, test_].map(bases);
    const all = sides.flatMap((side) => [...side]);
    expect(new Set(all).size).toBe(all.length);
    // Of each a tenth of 20 smileys, and one of three jobs and of two flags.
    for (const side of sides.slice(1)) {
      const categories = [...side].map(
        (base) => drawings.find(({ entry }) => baseEmoji(entry) === base)?.category,
      );
      expect(categories.sort()).toEqual([
        'Flags',
        'People & Body',
        'Smileys & Emotion',
        'Smileys & Emotion',
      ]);
    }
    const both = marks(await loadDataset('emoji-32', 'train+validation'));
    const trained = new Set(train);
    expect(both.filter((each) => trained.has(each))).toEqual(train);
    expect(new Set(both)).toEqual(new Set([...train, ...validation]));
  });

  test('labels and captions belong to their pictures', async () => {
    for (const split of ['train', 'validation', 'test'] as const) {
      const dataset = await loadDataset('emoji-32', split);
      for (const [i, each] of marks(dataset).entries()) {
        const { code, entry, category } = drawings[each >> 1] as (typeof drawings)[0];
        expect(dataset.classes[dataset.labels[i] as number]).toBe(category);
        const caption = dataset.captions?.[i] as string;
        expect(caption.startsWith(emojiName(entry) as string)).toBe(true);
        expect(caption.endsWith(' skin tone)')).toBe(code !== entry);
      }
    }
    const train = await loadDataset('emoji-google-32', 'train');
    expect(train.captions?.some((text) => text.endsWith(' (medium-dark skin tone)'))).toBe(true);
    const both = (await loadDataset('emoji-google-32', 'train+validation')).captions;
    const known = ['woman farmer (dark skin tone)', 'woman firefighter (dark skin tone)'];
    expect(known.some((text) => both?.includes(text))).toBe(true);
  });

  test('subcategories are classes, the same in every split', async () => {
    const names = new Set(drawings.map(({ subcategory }) => subcategory));
    for (const split of ['train', 'validation', 'test'] as const) {
      const [fine, coarse] = [
        await loadDataset('emoji-subcategories-32', split),
        await loadDataset('emoji-composed-32', split),
      ];
      expect(fine.classes).toEqual([...names]);
      expect(marks(fine)).toEqual(marks(coarse));
      for (const [i, each] of marks(fine).entries()) {
        const expected = drawings[each >> 1]?.subcategory;
        expect(fine.classes[fine.labels[i] as number]).toBe(expected);
      }
    }
  });

  test('what an older version has fetched has no subcategories, which is told', async () => {
    const older = drawings.map(({ subcategory: _, ...rest }) => rest);
    fs.writeFileSync(path.join(data, 'emoji.json'), JSON.stringify(older));
    expect((await loadDataset('emoji-32', 'test')).classes).toHaveLength(10);
    const fine = loadDataset('emoji-subcategories-32', 'test');
    await expect(fine).rejects.toThrow(/no subcategories\. Run `npx tarflow data emoji` again/);
  });

  test('base emoji: one drawing a vendor, the plain one, on the same side', async () => {
    const found = [];
    for (const split of ['train', 'validation', 'test'] as const) {
      const base = marks(await loadDataset('emoji-base-32', split));
      const all = new Set(marks(await loadDataset('emoji-32', split)));
      expect(base.every((each) => all.has(each))).toBe(true);
      found.push(...base.map((each) => drawings[each >> 1]?.code as string));
    }
    const plain = [
      ...drawings.slice(0, 20).map(({ code }) => code),
      ...['1F680', '1F692', '1F33E'].map((job) => `1F9D1-200D-${job}`),
      '1F1F3-1F1F4',
      '1F1EB-1F1F7',
    ];
    expect(found.sort()).toEqual([...plain, ...plain].sort());
  });

  test('one vendor: its drawings alone, with its licence', async () => {
    for (const [parity, vendor, licence] of [
      [0, 'google', 'Apache-2.0'],
      [1, 'twitter', 'CC BY 4.0'],
    ] as const) {
      const dataset = await loadDataset(`emoji-${vendor}-32`, 'train');
      expect(new Set(marks(dataset).map((each) => each % 2))).toEqual(new Set([parity]));
      expect(dataset.licence).toContain(licence);
    }
    const both = await loadDataset('emoji-32', 'train');
    expect(both.licence).toMatch(/Apache-2\.0.*CC BY 4\.0.*reduced/);
  });

  test('Microsoft’s emoji: those that there are, on white, split as the composed sets', async () => {
    const fluent = path.join(folder, 'data', 'emoji-fluent');
    const missing = await loadDataset('emoji-fluent-256', 'train').catch((e) => e);
    expect(missing).toBeInstanceOf(UserError);
    expect(missing.message).toMatch(/are not there.*Run `npx tarflow data emoji-fluent`/);
    fs.mkdirSync(fluent, { recursive: true });
    const drawn = drawings.flatMap(({ code }, index) => (index % 3 === 0 ? [] : [{ code, index }]));
    for (const { code, index } of drawn) {
      // Half of it is transparent; some of Microsoft's are taller than wide.
      const [width, height] = [256, index % 2 === 0 ? 256 : 264];
      const pixels = Buffer.alloc(4 * width * height, 2 * index);
      for (let at = 3; at < pixels.length; at += 4) pixels[at] = at % (4 * width) < 512 ? 255 : 0;
      const picture = sharp(pixels, { raw: { width, height, channels: 4 } });
      const file = path.join(fluent, `${code.toLowerCase()}.webp`);
      await picture.webp({ lossless: true }).toFile(file);
    }
    const sides = ['train', 'validation', 'test'] as const;
    for (const split of sides) {
      const dataset = await loadDataset('emoji-fluent-256', split);
      const composed = await loadDataset('emoji-composed-32', split);
      const indices = [...new Set(marks(composed).map((each) => each >> 1))];
      const expected = indices.filter((index) => index % 3 !== 0).map((index) => 2 * index);
      expect(marks(dataset).sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b));
      expect(dataset.image).toEqual({ channels: 3, height: 256, width: 256 });
      expect(dataset.classes).toEqual(composed.classes);
      expect(dataset.licence).toMatch(/Fluent Emoji: MIT/);
      for (const [i, mark_] of marks(dataset).entries()) {
        expect(dataset.captions?.[i]).toContain(emojiName(drawings[mark_ >> 1]?.entry as string));
        const row = dataset.pixels.subarray(i * 3 * 256 * 256, i * 3 * 256 * 256 + 256);
        expect([row[0], row[255]]).toEqual([mark_, 255]);
      }
      const smaller = await loadDataset('emoji-fluent-128', split);
      expect(smaller.image).toEqual({ channels: 3, height: 128, width: 128 });
      expect(marks(smaller)).toEqual(marks(dataset));
    }
    fs.rmSync(fluent, { recursive: true });
  });

  test('missing images: the file and the command that fetches them are named', async () => {
    const error = await loadDataset('emoji-google-64', 'test').catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(path.join(data, 'google-64-images'));
    expect(error.message).toContain('Run `npx tarflow data emoji`.');
  });

  test('images that do not fit the descriptions: the shape is named', async () => {
    writeImages('google', 32, 3);
    await expect(loadDataset('emoji-google-32', 'test')).rejects.toThrow(
      /google-32.*has shape \(3, 3, 32, 32\)\. Expected \(77, 3, 32, 32\); delete it/,
    );
  });

  test.each([
    ['cut short', JSON.stringify(drawings).slice(0, 500)],
    ['no list', '{}'],
    ['of another kind', '[{"unified":"1F600"}]'],
    ['of an unknown category', JSON.stringify([drawing('1F600', 'grinning', 'Faces')])],
  ])('descriptions that are %s are refused', async (_what, text) => {
    fs.writeFileSync(path.join(data, 'emoji.json'), text);
    const error = await loadDataset('emoji-32', 'test').catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/emoji\.json does not describe emoji\. Delete it\. Run `npx/);
  });
});

const present = fs.existsSync(path.join(cacheFolder(), 'data', 'emoji', 'complete.json'));
const hint = present ? '' : ' (skipped, not in the cache: run `npx tarflow data emoji`)';

describe.skipIf(!present)(`the published emoji${hint}`, () => {
  // Figures in results/ were measured on these. Of them it was seen that no name, gender or picture of a
  // split is in another, that each emoji is there by both vendors, and that 32×32 is 64×64 reduced.
  test.each([
    ['emoji-base-32', ['507c4e6637d2eeed', '58682e78a24ce719', 'b52f3c6e4251c6ee']],
    ['emoji-32', ['660edb9127dd9cd8', '495e92a70efa45fe', '57f2d3c24e92b110']],
    ['emoji-google-64', ['54f1349ecd2a5da4', '914e0778cb0af3ac', '6e3535ae481a0c32']],
    ['emoji-twitter-64', ['331c49eda5731085', '1be7b3e9696a314f', '43612df2ae510eb3']],
    ['emoji-composed-32', ['a64992d43e79bec1', 'd3d7695e4c62ae87', '63cffc4d37665850']],
  ])('%s never changes', async (name, expected) => {
    const digests = [];
    for (const split of ['train', 'validation', 'test'] as const) {
      const { pixels, labels, captions } = await loadDataset(name, split);
      const digest = createHash('sha256').update(pixels).update(labels).update(`${captions}`);
      digests.push(digest.digest('hex').slice(0, 16));
    }
    expect(digests).toEqual(expected);
  });
});
