import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { makeFolder, readJson, requireDiskSpace, writeSums } from '../lib/files.mjs';
import { fetchNpmArchives } from '../lib/npm-archives.mjs';
import { onWhite } from '../lib/pictures.mjs';
import { readTar } from '../lib/tar.mjs';

/** @typedef {import('../lib/steps.mjs').Context} Context */

/**
 * One drawing as the library finds it in emoji.json, in the order of the images.
 *
 * @typedef {object} Drawing
 * @property {string} code its code points
 * @property {string} entry the code points of the same emoji without skin tone
 * @property {string} shortName
 * @property {string} category
 * @property {string} subcategory
 */

/**
 * An emoji as the packages describe it.
 *
 * @typedef {object} Entry
 * @property {string} unified its code points
 * @property {string} image the name of its PNG
 * @property {string} short_name
 * @property {string} category
 * @property {string} subcategory
 * @property {number} sort_order its place in Unicode's own order
 * @property {Record<string, { unified: string, image: string }>} [skin_variations]
 */

/** @typedef {{ vendor: string, bytes: number, integrity: string }} EmojiPackage */

const version = '16.0.0';

/** @type {EmojiPackage[]} */
const published = [
  {
    vendor: 'google',
    bytes: 74_344_091,
    integrity:
      'sha512-ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==',
  },
  {
    vendor: 'twitter',
    bytes: 61_683_754,
    integrity:
      'sha512-7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==',
  },
];

/** The width and height of the packages' small PNGs. */
const drawn = 64;

/** The widths and heights that are kept. */
const sizes = [32, 64];

/** Raise it when what lies in the cache is to be made anew. */
const layout = 2;

/**
 * The images of the vendors' packages in the cache.
 *
 * @param {EmojiPackage[]} packages
 * @returns {import('../lib/steps.mjs').Step}
 */
export function emojiFrom(packages) {
  const files = [
    ...packages.flatMap(({ vendor }) => sizes.map((size) => imageFile(vendor, size))),
    'emoji.json',
  ];
  return {
    title: 'Emoji',

    isDone({ cache }) {
      const folder = dataFolder(cache);
      const complete = readJson(path.join(folder, 'complete.json'));
      return (
        complete?.layout === layout &&
        files.every((name) => complete.bytes[name] === sizeOf(path.join(folder, name)))
      );
    },

    async run(context) {
      // npm holds each archive twice while it fetches it.
      requireDiskSpace(context.cache, 2 * totalBytes(packages), 'The emoji data set');
      const downloads = await fetchNpmArchives(context, {
        purpose: 'The download of the emoji packages',
        folder: `emoji-datasource-${version}`,
        packages: packages.map(({ vendor, ...rest }) => ({
          ...{ ...rest, name: packageName(vendor), version, file: archiveName(vendor) },
        })),
      });
      await makeFolder(dataFolder(context.cache), async (folder) => {
        for (const { vendor } of packages) {
          await unpack(path.join(downloads, archiveName(vendor)), vendor, folder);
        }
        const bytes = Object.fromEntries(
          files.map((name) => [name, sizeOf(path.join(folder, name))]),
        );
        writeFileSync(path.join(folder, 'complete.json'), JSON.stringify({ layout, bytes }));
        await writeSums(folder);
      });
      rmSync(downloads, { recursive: true });
    },
  };
}

/**
 * The emoji of Google (Noto Emoji, Apache-2.0) and Twitter (Twemoji, CC BY 4.0) from the npm
 * packages emoji-datasource-google and -twitter (136 MB), which are too big for dependencies: they
 * are fetched once, and what is kept is the images on white as IDX files. Needs the project's npm
 * packages.
 */
export const emoji = emojiFrom(published);

/** @param {string} cache */
function dataFolder(cache) {
  return path.join(cache, 'data', 'emoji');
}

/**
 * @param {string} vendor
 * @param {number} size
 */
function imageFile(vendor, size) {
  return `${vendor}-${size}-images-idx4-ubyte.gz`;
}

/** @param {string} vendor */
function packageName(vendor) {
  return `emoji-datasource-${vendor}`;
}

/** @param {string} vendor */
function archiveName(vendor) {
  return `${packageName(vendor)}-${version}.tgz`;
}

/** @param {EmojiPackage[]} packages */
function totalBytes(packages) {
  return packages.reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * Writes emoji.json and the vendor's images in both sizes.
 *
 * @param {string} archive the npm package
 * @param {string} vendor
 * @param {string} folder
 */
async function unpack(archive, vendor, folder) {
  /** @type {Map<string, Uint8Array>} */
  const contents = new Map();
  for (const { name, content } of readTar(gunzipSync(readFileSync(archive)))) {
    contents.set(name, content);
  }
  /** @param {string} name */
  const read = (name) => {
    const content = contents.get(name);
    if (!content) throw new Error(`${archive} holds no ${name}`);
    return content;
  };
  const entries = JSON.parse(Buffer.from(read('package/emoji.json')).toString('utf8'));
  const drawings = listDrawings(entries);
  const pngs = drawings.map(({ image }) => read(`package/img/${vendor}/${drawn}/${image}`));
  for (const [size, pixels] of await drawAll(pngs)) {
    writeFileSync(path.join(folder, imageFile(vendor, size)), idx(pixels, pngs.length, size));
  }
  // The same in both packages.
  writeFileSync(
    path.join(folder, 'emoji.json'),
    JSON.stringify(drawings.map(({ image: _, ...drawing }) => drawing)),
  );
}

/**
 * Every drawing in Unicode's order, each followed by the same in other skin tones.
 *
 * @param {Entry[]} entries
 * @returns {(Drawing & { image: string })[]}
 */
function listDrawings(entries) {
  return [...entries]
    .sort((a, b) => a.sort_order - b.sort_order)
    .flatMap((entry) =>
      [entry, ...Object.values(entry.skin_variations ?? {})].map(({ unified, image }) => ({
        code: unified,
        entry: entry.unified,
        shortName: entry.short_name,
        category: entry.category,
        subcategory: entry.subcategory,
        image,
      })),
    );
}

/**
 * The pictures on white, one after the other, for each size.
 *
 * @param {Uint8Array[]} pngs
 * @returns {Promise<Map<number, Uint8Array>>}
 */
async function drawAll(pngs) {
  // The doctor reads this file before there are any packages.
  const { default: sharp } = await import('sharp');
  const all = new Map(sizes.map((size) => [size, new Uint8Array(pngs.length * 3 * size * size)]));
  for (const [index, png] of pngs.entries()) {
    const rgba = await sharp(png).toColourspace('srgb').ensureAlpha().raw().toBuffer();
    for (const [size, pixels] of all) {
      const picture = onWhite(rgba, { width: drawn, height: drawn }, drawn / size);
      pixels.set(picture, index * picture.length);
    }
  }
  return all;
}

/**
 * A gzipped IDX file of (count, 3, size, size) unsigned bytes.
 *
 * @param {Uint8Array} pixels
 * @param {number} count
 * @param {number} size
 */
function idx(pixels, count, size) {
  const header = Buffer.from([0, 0, 8, 4, ...Array(16).fill(0)]);
  for (const [axis, length] of [count, 3, size, size].entries()) {
    header.writeUInt32BE(length, 4 + 4 * axis);
  }
  return gzipSync(Buffer.concat([header, pixels]));
}

/** @param {string} file */
function sizeOf(file) {
  return statSync(file, { throwIfNoEntry: false })?.size;
}
