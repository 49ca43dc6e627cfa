import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { createGunzip } from 'node:zlib';
import { download } from '../lib/download.mjs';
import { makeFolder, readJson, requireDiskSpace, sha256OfFile } from '../lib/files.mjs';
import { findProgram } from '../lib/places.mjs';
import { watchGrowth } from '../lib/progress.mjs';
import { run } from '../lib/run.mjs';
import { SetupError } from '../lib/setup-error.mjs';

/** @typedef {import('../lib/steps.mjs').Context} Context */

/**
 * SHA-256 of the four files' decompressed content: the same images lie under different gzip headers
 * at different places.
 *
 * @type {Record<string, string>}
 */
const contents = {
  'train-images-idx3-ubyte.gz': 'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
  'train-labels-idx1-ubyte.gz': 'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
  't10k-images-idx3-ubyte.gz': '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
  't10k-labels-idx1-ubyte.gz': '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
};

const files = Object.keys(contents);

const debianPackage = {
  name: 'dataset-fashion-mnist',
  sha256: '39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0',
  bytes: 30_900_652,
  folder: 'usr/share/datasets/fashion-mnist',
};

/** The two places that the data set's authors name. */
const officialAddresses = [
  'https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion',
  'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com',
];

/**
 * Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; MIT licence), complete, as the official gzipped IDX
 * files: from Debian's package where apt is present, else from its authors. The four files may also
 * be put into the folder by hand.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const fashionMnist = {
  title: 'Fashion-MNIST',

  isDone({ cache }) {
    const folder = dataFolder(cache);
    const verified = readJson(path.join(folder, 'verified.json'));
    return verified !== undefined && files.every((name) => verified[name] === sizeOf(folder, name));
  },

  async run(context) {
    const folder = dataFolder(context.cache);
    if (files.every((name) => existsSync(path.join(folder, name)))) {
      await verifyAll(folder);
      return;
    }
    requireDiskSpace(folder, 3 * debianPackage.bytes, 'Fashion-MNIST');
    /** @type {string[]} */
    const failures = [];
    await makeFolder(folder, async (temporary) => {
      for (const route of [fromDebian, fromAuthors]) {
        try {
          await route(context, temporary);
          await verifyAll(temporary);
          return;
        } catch (error) {
          failures.push(/** @type {Error} */ (error).message);
        }
      }
      throw new SetupError(
        `Fashion-MNIST (31 MB) could not be downloaded: ${failures.join('; ')}`,
        `Check the network and run the same command again, or put ${files.join(', ')} into ${folder}`,
      );
    });
  },
};

/** @param {string} cache */
function dataFolder(cache) {
  return path.join(cache, 'data', 'fashion-mnist');
}

/**
 * @param {Context} context
 * @param {string} folder
 */
async function fromDebian({ env, progress }, folder) {
  const [aptGet, dpkgDeb] = ['apt-get', 'dpkg-deb'].map((name) => findProgram(name, env));
  if (!aptGet || !dpkgDeb) throw new Error('there is no apt here');
  const scratch = path.join(folder, 'debian');
  await makeFolder(scratch, async (temporary) => {
    const options = { cwd: temporary, env };
    const result = await watchGrowth(progress, temporary, debianPackage.bytes, async () => {
      const first = await run(aptGet, ['download', debianPackage.name], options);
      if (first.status === 0) return first;
      // A fresh container has no package lists: fetch them, into a folder of ours.
      mkdirSync(path.join(temporary, 'lists', 'partial'), { recursive: true });
      const lists = [
        ...['-o', `Dir::State::Lists=${path.join(temporary, 'lists')}`],
        ...['-o', `Dir::Cache=${path.join(temporary, 'cache')}`],
      ];
      await run(aptGet, [...lists, 'update'], options);
      return run(aptGet, [...lists, 'download', debianPackage.name], options);
    });
    const archive = readdirSync(temporary).find((name) => name.endsWith('.deb'));
    if (result.status !== 0 || !archive) {
      throw new Error(`apt has no ${debianPackage.name}`);
    }
    if ((await sha256OfFile(path.join(temporary, archive))) !== debianPackage.sha256) {
      throw new Error(`${archive} has another SHA-256 than expected`);
    }
    const unpacked = await run(dpkgDeb, ['-x', archive, 'unpacked'], options);
    if (unpacked.status !== 0) throw new Error(`dpkg-deb could not unpack ${archive}`);
    for (const name of files) {
      copyFileSync(
        path.join(temporary, 'unpacked', debianPackage.folder, name),
        path.join(folder, name),
      );
    }
  });
  rmSync(scratch, { recursive: true });
}

/**
 * @param {Context} context
 * @param {string} folder
 */
async function fromAuthors({ cache, progress }, folder) {
  // Outside the temporary folder, so that an interrupted run goes on where it stopped.
  const downloads = path.join(cache, 'downloads', 'fashion-mnist');
  /** @type {string[]} */
  const failures = [];
  for (const address of officialAddresses) {
    try {
      for (const name of files) {
        const file = path.join(downloads, name);
        if (!existsSync(file)) {
          await download(`${address}/${name}`, file, {
            verify: (partial) => verifyContent(partial, name),
            onProgress: (done, total) => progress.update(done, total),
          });
        }
        copyFileSync(file, path.join(folder, name));
      }
      rmSync(downloads, { recursive: true });
      return;
    } catch (error) {
      failures.push(`${new URL(address).host}: ${/** @type {Error} */ (error).message}`);
    }
  }
  throw new Error(failures.join('; '));
}

/**
 * Verifies the four files and notes that they are.
 *
 * @param {string} folder
 */
async function verifyAll(folder) {
  for (const name of files) await verifyContent(path.join(folder, name), name);
  const sizes = Object.fromEntries(files.map((name) => [name, sizeOf(folder, name)]));
  writeFileSync(path.join(folder, 'verified.json'), JSON.stringify(sizes));
}

/**
 * @param {string} file
 * @param {string} name the official name
 */
async function verifyContent(file, name) {
  let found;
  try {
    found = await sha256OfFile(file, createGunzip());
  } catch {
    // Not a whole gzip file: found stays undefined, which equals no SHA-256.
  }
  if (found !== contents[name]) {
    throw new SetupError(
      `${file} is damaged, or is not Fashion-MNIST's ${name}`,
      'Delete it, then run the same command again',
    );
  }
}

/**
 * @param {string} folder
 * @param {string} name
 */
function sizeOf(folder, name) {
  return statSync(path.join(folder, name), { throwIfNoEntry: false })?.size;
}
