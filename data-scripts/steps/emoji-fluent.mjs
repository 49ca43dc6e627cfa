import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { makeFolder, readJson, requireDiskSpace, writeSums } from '../lib/files.mjs';
import { fetchNpmArchives } from '../lib/npm-archives.mjs';
import { readTar } from '../lib/tar.mjs';

/** @type {import('../lib/npm-archives.mjs').NpmArchive} */
const published = {
  name: '@lobehub/fluent-emoji-3d',
  version: '1.1.0',
  file: 'lobehub-fluent-emoji-3d-1.1.0.tgz',
  bytes: 15_792_027,
  integrity:
    'sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==',
};

/**
 * The pictures of a package in the cache, each named by its code points in lower case.
 *
 * @param {import('../lib/npm-archives.mjs').NpmArchive} archive
 * @returns {import('../lib/steps.mjs').Step}
 */
export function fluentFrom(archive) {
  return {
    title: "Microsoft's emoji",

    isDone({ cache }) {
      return readJson(path.join(dataFolder(cache), 'complete.json'))?.version === archive.version;
    },

    async run(context) {
      // The archive, npm's copy of it, and what is unpacked.
      requireDiskSpace(context.cache, 3 * archive.bytes, "Microsoft's emoji");
      const downloads = await fetchNpmArchives(context, {
        purpose: "The download of Microsoft's emoji",
        folder: `emoji-fluent-${archive.version}`,
        packages: [archive],
      });
      await makeFolder(dataFolder(context.cache), async (folder) => {
        const packed = readFileSync(path.join(downloads, archive.file));
        for (const { name, content } of readTar(gunzipSync(packed))) {
          const found = /^package\/assets\/([0-9a-f-]+)\.webp$/.exec(name);
          if (found) writeFileSync(path.join(folder, `${unified(found[1] ?? '')}.webp`), content);
        }
        const complete = JSON.stringify({ version: archive.version });
        writeFileSync(path.join(folder, 'complete.json'), complete);
        await writeSums(folder);
      });
      rmSync(downloads, { recursive: true });
    },
  };
}

/**
 * The emoji in relief of Microsoft (Fluent Emoji, MIT), 256×256, from the npm package
 * `@lobehub/fluent-emoji-3d` (16 MB). What is kept is its WebP files. What they show is in emoji.json
 * of the other emoji.
 */
export const emojiFluent = fluentFrom(published);

/** @param {string} cache */
function dataFolder(cache) {
  return path.join(cache, 'data', 'emoji-fluent');
}

/**
 * Code points as emoji.json has them: of four digits at least.
 *
 * @param {string} code
 */
function unified(code) {
  return code
    .split('-')
    .map((each) => each.padStart(4, '0'))
    .join('-');
}
