import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { UserError } from '../../core/errors.js';
import { FileUnreadable, readBytes } from '../../core/files.js';
import { foldIn, permutation, randomKey } from '../../core/random.js';
import { decodeIdx } from '../../formats/idx.js';
import { decodedImage } from '../folder/image-file.js';
import type { Split } from '../source.js';
import { heldOutNames } from './composed-names.js';
import { isComposed } from './emoji-compositions.js';
import { emojiName } from './emoji-names.js';
import { type ImageDataset, imageDataset } from './memory.js';
import { isIn } from './splits.js';

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
];

/** One drawing as `data-scripts/steps/emoji.mjs` describes it, in the order of the images. */
interface Drawing {
  /** The code points in hexadecimal, joined by hyphens. */
  code: string;
  /** The code points of the same emoji without skin tone. */
  entry: string;
  shortName: string;
  category: string;
  /** Absent in what an older version has fetched. */
  subcategory?: string;
}

interface EmojiChoice {
  vendors: readonly Vendor[];
  size: 32 | 64 | 128 | 256;
  /** One drawing a vendor of each base emoji. */
  baseOnly: boolean;
  /** The test split is what is held out for composition, and nothing of it is in the others. */
  composed: boolean;
  /** Unicode's subcategories are the classes, not its categories. */
  fine: boolean;
}

const usual = { baseOnly: false, composed: false, fine: false };

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
export const emojiDatasets: Readonly<Record<string, (split: Split) => Promise<ImageDataset>>> =
  Object.fromEntries(
    [
      ...([32, 64] as const).flatMap((size) =>
        Object.entries({
          'emoji-base': { vendors: ['google', 'twitter'] as const, baseOnly: true },
          emoji: { vendors: ['google', 'twitter'] as const },
          'emoji-google': { vendors: ['google'] as const },
          'emoji-twitter': { vendors: ['twitter'] as const },
          'emoji-composed': { vendors: ['google', 'twitter'] as const, composed: true },
          'emoji-subcategories': {
            vendors: ['google', 'twitter'] as const,
            composed: true,
            fine: true,
          },
        }).map(([prefix, choice]) => ({ prefix, choice: { ...usual, ...choice, size } })),
      ),
      ...([128, 256] as const).map((size) => ({
        prefix: 'emoji-fluent',
        choice: { ...usual, vendors: ['microsoft'] as const, composed: true, size },
      })),
    ].map(({ prefix, choice }) => {
      const name = `${prefix}-${choice.size}`;
      return [name, (split: Split) => loadEmoji(name, split, choice)];
    }),
  );

/**
 * @throws UserError when the images are not in the cache folder, or do not fit together
 */
async function loadEmoji(
  name: string,
  split: Split,
  { vendors, size, baseOnly, composed, fine }: EmojiChoice,
): Promise<ImageDataset> {
  const drawings = await readDrawings();
  const sources = await Promise.all(
    vendors.map((vendor) =>
      vendor === 'microsoft' ? openFluent(drawings, size) : openIdx(vendor, drawings.length, size),
    ),
  );

  const bases = groupByBase(drawings);
  const heldOut = chooseHeldOut(drawings, bases);
  const inTest = split === 'test';
  const chosen = [...bases].flatMap(([base, members]) => {
    // What is held out for composition is so wherever its base emoji is.
    if (heldOut.test.has(base) !== inTest && !(composed && inTest)) return [];
    const all = baseOnly ? [plainest(drawings, base, members)] : members;
    const shown = composed
      ? all.filter(
          (index) => isComposed(nameOf(drawings[index] as Drawing), heldOutNames) === inTest,
        )
      : all;
    const inValidation = heldOut.validation.has(base);
    return shown.flatMap((index) =>
      sources
        .filter((source) => source.has(index))
        .map((source) => ({ index, source, inValidation })),
    );
  });
  // Mixed, so that the first images of a split are not all smileys.
  const order = permutation(foldIn(splitKey, inTest ? 'test' : 'train'), chosen.length);
  const kept = Array.from(order, (place) => chosen[place] as (typeof chosen)[number]).filter(
    ({ inValidation }) => inTest || isIn(split, inValidation),
  );
  const area = 3 * size * size;
  const pixels = new Uint8Array(new SharedArrayBuffer(kept.length * area));
  await eightAtOnce(kept, async ({ index, source }, at) => {
    pixels.set(await source.picture(index), at * area);
  });
  const shown = kept.map(({ index }) => drawings[index] as Drawing);
  const classOf = fine ? subcategoryOf : ({ category }: Drawing) => category;
  // Those of all drawings, so that every split has the same.
  const classes = fine ? [...new Set(drawings.map(classOf))] : [...categories];
  return imageDataset({
    name,
    split,
    image: { channels: 3, height: size, width: size },
    classes,
    pixels,
    labels: Int32Array.from(shown, (drawing) => classes.indexOf(classOf(drawing))),
    captions: shown.map(caption),
    licence: [...vendors.map((vendor) => licences[vendor]), descriptions].join('; '),
  });
}

/** Code points that tell variants of one emoji apart. */
const variantCodes = new Set([
  ...['1F3FB', '1F3FC', '1F3FD', '1F3FE', '1F3FF'], // skin tones
  ...['1F9B0', '1F9B1', '1F9B2', '1F9B3'], // hair
  ...['2640', '2642'], // gender
  '27A1', // facing right
  ...['200D', 'FE0F'], // joiner, emoji style
]);

/** Men and women are persons, boys and girls are children. */
const neutralCodes: Record<string, string> = {
  '1F468': '1F9D1',
  '1F469': '1F9D1',
  '1F466': '1F9D2',
  '1F467': '1F9D2',
};

/** Variants, or the same drawing, under code points that do not show it. */
const sameBase: Record<string, string> = {
  '1F471': '1F9D1', // blond hair
  '1F9D4': '1F9D1', // beard
  '1F474': '1F9D3', // old man
  '1F475': '1F9D3', // old woman
  '1F934': '1FAC5', // prince
  '1F478': '1FAC5', // princess
  '1F57A': '1F483', // man dancing
  '1F930': '1FAC4', // pregnant woman
  '1FAC3': '1FAC4', // pregnant man
  '1F931': '1F9D1-1F37C', // breast-feeding
  '1F385': '1F9D1-1F384', // Father Christmas
  '1F936': '1F9D1-1F384', // Mother Christmas
  '1F46B': '1F9D1-1F91D-1F9D1', // woman and man holding hands
  '1F46C': '1F9D1-1F91D-1F9D1', // men
  '1F46D': '1F9D1-1F91D-1F9D1', // women
  '1F9D1-2764-1F48B-1F9D1': '1F48F', // kiss
  '1F9D1-2764-1F9D1': '1F491', // couple with heart
  '1F64E': '1F64D', // pouting and frowning person
  '1F1F2-1F1EB': '1F1EB-1F1F7', // Saint Martin, France
  '1F1E8-1F1F5': '1F1EB-1F1F7', // Clipperton
  '1F1ED-1F1F2': '1F1E6-1F1FA', // Heard and McDonald Islands, Australia
  '1F1EA-1F1E6': '1F1EA-1F1F8', // Ceuta and Melilla, Spain
  '1F1E9-1F1EC': '1F1EE-1F1F4', // Diego Garcia, British Indian Ocean Territory
  '1F1E7-1F1FB': '1F1F3-1F1F4', // Bouvet Island, Norway
  '1F1F8-1F1EF': '1F1F3-1F1F4', // Svalbard and Jan Mayen
  '1F1FA-1F1F2': '1F1FA-1F1F8', // outlying islands, United States
  '1F1E8-1F1F6': '1F1F8-1F1E6', // Sark, which Google draws as Saudi Arabia
  '1F1F2-1F1E8': '1F1EE-1F1E9', // Monaco, Indonesia
  '1F1F9-1F1E9': '1F1F7-1F1F4', // Chad, Romania
};

/** A family of any number of adults and children; they are drawn alike. */
const family = /^(1F9D1-)+1F9D2(-1F9D2)*$/;

/**
 * The code points that stand for an emoji and all its variants of skin tone, gender, hair and
 * direction, for the other flag of the same design, and for families of every kind.
 *
 * @param code code points in hexadecimal, joined by hyphens, as `1F469-1F3FD-200D-1F680`
 */
export function baseEmoji(code: string): string {
  const codes = code.split('-').filter((each) => !variantCodes.has(each));
  // What is nothing but a variant's code (♀, ➡, a skin tone) stands for itself.
  if (codes.length === 0) return code;
  const neutral = codes.map((each) => neutralCodes[each] ?? each).join('-');
  return family.test(neutral) ? '1F46A' : (sameBase[neutral] ?? neutral);
}

/** The drawings' indices by base emoji, in the order of the drawings. */
function groupByBase(drawings: readonly Drawing[]): Map<string, number[]> {
  const bases = new Map<string, number[]>();
  for (const [index, { entry }] of drawings.entries()) {
    // Of the entry: a handshake in two skin tones is written as two hands.
    const base = baseEmoji(entry);
    const members = bases.get(base);
    if (members) members.push(index);
    else bases.set(base, [index]);
  }
  return bases;
}

/** The base emoji of the test and of the validation split: a tenth of each category, at least one. */
function chooseHeldOut(
  drawings: readonly Drawing[],
  bases: ReadonlyMap<string, readonly number[]>,
): { test: Set<string>; validation: Set<string> } {
  const [test, validation] = [new Set<string>(), new Set<string>()];
  for (const category of categories) {
    const candidates = [...bases.keys()].filter((base) => {
      const first = (bases.get(base) as readonly number[])[0] as number;
      return (drawings[first] as Drawing).category === category;
    });
    const count = Math.max(1, Math.round(candidates.length * heldOutShare));
    const order = permutation(foldIn(splitKey, category), candidates.length);
    order.subarray(0, 2 * count).forEach((index, place) => {
      (place < count ? test : validation).add(candidates[index] as string);
    });
  }
  return { test, validation };
}

/** The drawing that stands for a base emoji: the one of its own code, else of the shortest code. */
function plainest(drawings: readonly Drawing[], base: string, members: readonly number[]): number {
  const cost = (index: number) => {
    const codes = (drawings[index] as Drawing).code
      .split('-')
      .filter((code) => code !== '200D' && code !== 'FE0F');
    return codes.join('-') === base ? 0 : codes.length;
  };
  return members.reduce((best, index) => (cost(index) < cost(best) ? index : best));
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

const remedy = 'Run `node data-scripts/data.mjs emoji`';
const fluentRemedy = 'Run `node data-scripts/data.mjs emoji-fluent`';

async function readDrawings(): Promise<Drawing[]> {
  const { file, bytes } = await read('emoji.json');
  let drawings: unknown;
  try {
    drawings = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    // drawings stays undefined, which is no list.
  }
  if (!Array.isArray(drawings) || !drawings.every(isDrawing)) {
    throw new UserError(`${file} does not describe emoji`, `Delete it. ${remedy}`);
  }
  return drawings;
}

function isDrawing(value: unknown): value is Drawing {
  const { code, entry, shortName, category, ...rest } = (value ?? {}) as Record<string, unknown>;
  return (
    (rest.subcategory === undefined || typeof rest.subcategory === 'string') &&
    [code, entry, shortName].every((text) => typeof text === 'string') &&
    categories.includes(category as string)
  );
}

/** Pictures of drawings, each as levels (3, size, size). */
interface Pictures {
  has(index: number): boolean;
  picture(index: number): Uint8Array | Promise<Uint8Array>;
}

/** A vendor's pictures of all drawings, from one file. */
async function openIdx(vendor: Vendor, count: number, size: number): Promise<Pictures> {
  const all = await readImages(vendor, [count, 3, size, size]);
  const area = 3 * size * size;
  return {
    has: () => true,
    picture: (index) => all.subarray(index * area, (index + 1) * area),
  };
}

/** Microsoft's pictures, a file each, which are decoded when they are read. */
async function openFluent(drawings: readonly Drawing[], size: number): Promise<Pictures> {
  const folder = path.join(cacheFolder(), 'data', 'emoji-fluent');
  const problem = `Microsoft's emoji are not there (${folder})`;
  const files = await readdir(folder).catch(() => {
    throw new UserError(problem, fluentRemedy);
  });
  const known = new Set(files);
  const file = (index: number) => `${(drawings[index] as Drawing).code.toLowerCase()}.webp`;
  const image = { channels: 3, height: size, width: size };
  return {
    has: (index) => known.has(file(index)),
    async picture(index) {
      const name = path.join(folder, file(index));
      return decodedImage({ name, bytes: await readBytes(name) }, image, 'crop');
    },
  };
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

async function readImages(vendor: Vendor, shape: readonly number[]): Promise<Uint8Array> {
  const { file, bytes } = await read(`${vendor}-${shape[3]}-images-idx4-ubyte.gz`);
  const decoded = decodeIdx(bytes, file);
  if (decoded.shape.join() !== shape.join()) {
    throw new UserError(
      `${file} has shape (${decoded.shape.join(', ')})`,
      `Expected (${shape.join(', ')}); delete it. ${remedy}`,
    );
  }
  return decoded.data;
}

async function read(name: string): Promise<{ file: string; bytes: Uint8Array }> {
  const file = path.join(cacheFolder(), 'data', 'emoji', name);
  try {
    return { file, bytes: await readBytes(file) };
  } catch (error) {
    if (!(error instanceof FileUnreadable)) throw error;
    throw new UserError(`The emoji are not complete: ${error.problem}`, remedy);
  }
}
