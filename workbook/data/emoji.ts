import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { z } from 'zod';
import { cacheFolder } from '../../src/core/cache-folder.js';
import { UserError } from '../../src/core/errors.js';
import { foldIn, permutation, randomKey } from '../../src/core/random.js';
import { decodedImage } from '../../src/data/encoded/image-file.js';
import {
  type Datasets,
  type ImageDataset,
  imageDataset,
  registerDatasets,
  type Split,
} from '../../src/data/index.js';
import { type CachedFile, cachedBytes, cachedIdx } from '../../src/data/sets/cached-file.js';
import { isIn } from '../../src/data/splits.js';
import { jsonOf } from '../../src/formats/metadata.js';
import { baseEmoji, emojiName, heldOutNames, isComposed } from './emoji-names.js';

const splitKey = randomKey(2024);
/** Share of the test split, and of the validation split. */
const heldOutShare = 0.1;

/** Whose drawings, with the terms under which they may be used. */
const licences = {
  google: 'Noto Emoji: Apache-2.0 (Google, https://github.com/googlefonts/noto-emoji)',
  twitter:
    'Twemoji: CC BY 4.0 (© 2020 Twitter, Inc and other contributors, ' +
    'https://github.com/twitter/twemoji, https://creativecommons.org/licenses/by/4.0), ' +
    'changed: drawn on white and reduced in size',
  microsoft:
    'Fluent Emoji: MIT (Microsoft, https://github.com/microsoft/fluentui-emoji; as WebP from ' +
    'https://github.com/lobehub/fluent-emoji)',
};
const descriptions =
  'names and categories: MIT (Cal Henderson, https://github.com/iamcal/emoji-data; Mu-An Chiou, ' +
  'https://github.com/muan/unicode-emoji-json)';

type Vendor = keyof typeof licences;

/** Unicode's categories, in its order: the classes. */
const categories = [
  'Smileys & Emotion',
  'People & Body',
  'Component',
  'Animals & Nature',
  'Food & Drink',
  'Travel & Places',
  'Activities',
  'Objects',
  'Symbols',
  'Flags',
] as const;

/** One drawing as `data-scripts/steps/emoji.mjs` describes it, in the order of the images. */
const describedDrawing = z.object({
  /** The code points in hexadecimal, joined by hyphens. */
  code: z.string(),
  /** The code points of the same emoji without skin tone. */
  entry: z.string(),
  shortName: z.string(),
  category: z.enum(categories),
  /** Absent in what an older version has fetched. */
  subcategory: z.string().optional(),
});

interface Drawing extends z.infer<typeof describedDrawing> {
  /** Its place among all. */
  index: number;
}

interface EmojiChoice {
  /** The data set's name without the size. */
  prefix: string;
  /** Height and width in pixels. */
  size: number;
  vendors: readonly Vendor[];
  /** One drawing a vendor of each base emoji. */
  baseOnly?: boolean;
  /** The test split is what is held out for composition, and nothing of it is in the others. */
  composed?: boolean;
  /** Unicode's subcategories are the classes, not its categories. */
  fine?: boolean;
}

/**
 * The emoji data sets: emoji of version 16.0 on white, three channels, square, the ten Unicode
 * categories as classes, Unicode's names as captions.
 *
 * - `emoji-base-32` and `emoji-base-64`: each base emoji once by Google and once by Twitter. **The
 *   ones to train on**: the other sets are 60 % people in all skin tones, in these the largest
 *   class is a sixth.
 * - `emoji-google-32`, `emoji-google-64`, `emoji-twitter-32`, `emoji-twitter-64`: all 3,786
 *   drawings of one vendor.
 * - `emoji-32`, `emoji-64`: the drawings of both.
 * - `emoji-composed-32`, `emoji-composed-64`: the same, without {@link heldOutNames} in training and
 *   validation; these names, in all skin tones and by both vendors, are the test split.
 * - `emoji-subcategories-32`, `emoji-subcategories-64`: the same with Unicode's subcategories as classes
 *   (`face-smiling`, `animal-bird` and about a hundred more), to train what is to tell drawings apart.
 * - `emoji-fluent-128`, `emoji-fluent-256`: 3,372 of the emoji as Microsoft draws them, in relief, split
 *   as the composed sets. They are drawn for 256×256 (three are taller, and cut to their middle); those
 *   of that size take half a gigabyte of memory.
 *
 * The split is the same in all of them that do not hold out names: a tenth of the base emoji of each
 * category, drawn once by a fixed seed, is the test split, with all its skin tones and genders, by both vendors
 * ({@link baseEmoji}); the next tenth is the validation split. Base emoji that merely resemble each
 * other (two clock faces, a red and a blue heart) may be on different sides. Two fifths of all
 * values are plain white, which dominates any likelihood on these sets.
 */
export const emojiDatasets: Datasets = Object.fromEntries(
  choices().map((choice) => [
    `${choice.prefix}-${choice.size}`,
    (split: Split) => loadEmoji(split, choice),
  ]),
);

function choices(): EmojiChoice[] {
  const vendors: Vendor[] = ['google', 'twitter'];
  return [
    ...[32, 64].flatMap((size): EmojiChoice[] => [
      { prefix: 'emoji-base', size, vendors, baseOnly: true },
      { prefix: 'emoji', size, vendors },
      { prefix: 'emoji-google', size, vendors: ['google'] },
      { prefix: 'emoji-twitter', size, vendors: ['twitter'] },
      { prefix: 'emoji-composed', size, vendors, composed: true },
      { prefix: 'emoji-subcategories', size, vendors, composed: true, fine: true },
    ]),
    ...[128, 256].map((size): EmojiChoice => {
      return { prefix: 'emoji-fluent', size, vendors: ['microsoft'], composed: true };
    }),
  ];
}

/**
 * @throws UserError when the images are not in the cache folder, or do not fit together
 */
async function loadEmoji(split: Split, choice: EmojiChoice): Promise<ImageDataset> {
  const { prefix, vendors, size, fine = false } = choice;
  const drawings = await readDrawings();
  const sources = await Promise.all(
    vendors.map((vendor) =>
      vendor === 'microsoft' ? openFluent(size) : openIdx(vendor, drawings.length, size),
    ),
  );
  const chosen = chosenDrawings(drawings, split, choice).flatMap((one) =>
    sources.filter((source) => source.has(one.drawing)).map((source) => ({ ...one, source })),
  );
  // Mixed, so that the first images of a split are not all smileys.
  const inTest = split === 'test';
  const order = permutation(foldIn(splitKey, inTest ? 'test' : 'train'), chosen.length);
  const kept = Array.from(order, (place) => chosen[place]!).filter(
    ({ inValidation }) => inTest || isIn(split, inValidation),
  );
  const area = 3 * size * size;
  const pixels = new Uint8Array(new SharedArrayBuffer(kept.length * area));
  await eightAtOnce(kept, async ({ drawing, source }, at) => {
    pixels.set(await source.picture(drawing), at * area);
  });
  const classOf = fine ? subcategoryOf : ({ category }: Drawing): string => category;
  // Those of all drawings, so that every split has the same.
  const classes: string[] = fine ? [...new Set(drawings.map(classOf))] : [...categories];
  return imageDataset({
    name: `${prefix}-${size}`,
    split,
    image: { channels: 3, height: size, width: size },
    classes,
    pixels,
    labels: Int32Array.from(kept, ({ drawing }) => classes.indexOf(classOf(drawing))),
    captions: kept.map(({ drawing }) => caption(drawing)),
    licence: [...vendors.map((vendor) => licences[vendor]), descriptions].join('; '),
  });
}

/** The drawings of the test split, or those of all others, of which some are held out for validation. */
function chosenDrawings(
  drawings: readonly Drawing[],
  split: Split,
  { baseOnly = false, composed = false }: EmojiChoice,
): { drawing: Drawing; inValidation: boolean }[] {
  const bases = groupByBase(drawings);
  const heldOut = chooseHeldOut(bases);
  const inTest = split === 'test';
  return [...bases].flatMap(([base, members]) => {
    // What is held out for composition is so wherever its base emoji is.
    if (heldOut.test.has(base) !== inTest && !(composed && inTest)) return [];
    const all = baseOnly ? [plainest(base, members)] : members;
    const inValidation = heldOut.validation.has(base);
    return all
      .filter((drawing) => !composed || isComposed(nameOf(drawing), heldOutNames) === inTest)
      .map((drawing) => ({ drawing, inValidation }));
  });
}

/** The drawings by base emoji, in their order. */
function groupByBase(drawings: readonly Drawing[]): Map<string, Drawing[]> {
  const bases = new Map<string, Drawing[]>();
  for (const drawing of drawings) {
    // Of the entry: a handshake in two skin tones is written as two hands.
    const base = baseEmoji(drawing.entry);
    const members = bases.get(base) ?? [];
    members.push(drawing);
    bases.set(base, members);
  }
  return bases;
}

/** The base emoji of the test and of the validation split: a tenth of each category, at least one. */
function chooseHeldOut(bases: ReadonlyMap<string, readonly Drawing[]>): {
  test: Set<string>;
  validation: Set<string>;
} {
  const [test, validation] = [new Set<string>(), new Set<string>()];
  for (const category of categories) {
    const candidates = [...bases].filter(([, [first]]) => first?.category === category);
    const count = Math.max(1, Math.round(candidates.length * heldOutShare));
    const order = permutation(foldIn(splitKey, category), candidates.length);
    order.subarray(0, 2 * count).forEach((index, place) => {
      (place < count ? test : validation).add(candidates[index]![0]);
    });
  }
  return { test, validation };
}

/** The drawing that stands for a base emoji: the one of its own code, else of the shortest code. */
function plainest(base: string, members: readonly Drawing[]): Drawing {
  const cost = ({ code }: Drawing) => {
    const codes = code.split('-').filter((each) => each !== '200D' && each !== 'FE0F');
    return codes.join('-') === base ? 0 : codes.length;
  };
  return members.reduce((best, drawing) => (cost(drawing) < cost(best) ? drawing : best));
}

const toneNames: Record<string, string> = {
  '1F3FB': 'light',
  '1F3FC': 'medium-light',
  '1F3FD': 'medium',
  '1F3FE': 'medium-dark',
  '1F3FF': 'dark',
};

/** Unicode's name of an emoji, without its skin tone. */
function nameOf({ entry, shortName }: Drawing): string {
  const tone = toneNames[entry];
  return tone === undefined ? (emojiName(entry) ?? shortName) : `${tone} skin tone`;
}

function caption(drawing: Drawing): string {
  const { code, entry } = drawing;
  if (code === entry) return nameOf(drawing);
  const tones = code.split('-').flatMap((each) => toneNames[each] ?? []);
  return `${nameOf(drawing)} (${tones.join(' and ')} skin tone)`;
}

function subcategoryOf({ subcategory }: Drawing): string {
  if (subcategory !== undefined) return subcategory;
  throw new UserError('The emoji in the cache folder have no subcategories', `${remedy} again`);
}

const remedy = 'Run `npx tarflow data emoji`';
const fluentRemedy = 'Run `npx tarflow data emoji-fluent`';

async function readDrawings(): Promise<Drawing[]> {
  const cached = cachedFile('emoji.json');
  const text = Buffer.from(await cachedBytes(cached)).toString('utf8');
  const described = jsonOf(z.array(describedDrawing), text);
  if (described) return described.map((drawing, index) => ({ ...drawing, index }));
  throw new UserError(`${cached.file} does not describe emoji`, `Delete it. ${remedy}`);
}

/** Pictures of drawings, each as levels (3, size, size). */
interface Pictures {
  has(drawing: Drawing): boolean;
  picture(drawing: Drawing): Uint8Array | Promise<Uint8Array>;
}

/** A vendor's pictures of all drawings, from one file. */
async function openIdx(vendor: Vendor, count: number, size: number): Promise<Pictures> {
  const cached = cachedFile(`${vendor}-${size}-images-idx4-ubyte.gz`);
  const all = await cachedIdx(cached, [count, 3, size, size]);
  const area = 3 * size * size;
  return {
    has: () => true,
    picture: ({ index }) => all.subarray(index * area, (index + 1) * area),
  };
}

/** Microsoft's pictures, a file each, which are decoded when they are read. */
async function openFluent(size: number): Promise<Pictures> {
  const folder = path.join(cacheFolder(), 'data', 'emoji-fluent');
  const files = await readdir(folder).catch(() => {
    throw new UserError(`Microsoft's emoji are not there (${folder})`, fluentRemedy);
  });
  const known = new Set(files);
  const file = ({ code }: Drawing) => `${code.toLowerCase()}.webp`;
  const image = { channels: 3, height: size, width: size };
  return {
    has: (drawing) => known.has(file(drawing)),
    async picture(drawing) {
      const name = path.join(folder, file(drawing));
      const cached = { file: name, problem: 'The emoji are not complete', remedy: fluentRemedy };
      return decodedImage({ name, bytes: await cachedBytes(cached) }, image, 'crop');
    },
  };
}

function cachedFile(name: string): CachedFile {
  const file = path.join(cacheFolder(), 'data', 'emoji', name);
  return { file, problem: 'The emoji are not complete', remedy };
}

/** Does something for each of many, eight at once. */
async function eightAtOnce<T>(
  all: readonly T[],
  what: (each: T, place: number) => Promise<void>,
): Promise<void> {
  const left = all.entries();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const [place, each] of left) await what(each, place);
    }),
  );
}

registerDatasets(emojiDatasets);
