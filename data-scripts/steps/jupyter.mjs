import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeFolder, readJson, requireDiskSpace } from '../lib/files.mjs';
import { venvProgram } from '../lib/places.mjs';
import { watchGrowth } from '../lib/progress.mjs';
import { runOrThrow } from '../lib/run.mjs';

/**
 * JupyterLab and what executes and checks notebooks, in `.venv`. The wheels are kept in the cache,
 * so that the next clone needs no network.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const jupyterLab = {
  title: 'JupyterLab',

  isDone({ root }) {
    return stampOf(root) === requirementsKey(root);
  },

  async run({ root, cache, env, progress }) {
    const purpose = 'The installation of JupyterLab';
    const python = venvProgram(root, 'python');
    const requirements = requirementsFile(root);
    const tag = await runOrThrow(
      purpose,
      python,
      [
        '-c',
        'import sys, sysconfig; v = sys.version_info; ' +
          'print(f"py{v.major}.{v.minor}-{sysconfig.get_platform()}", end="")',
      ],
      { env },
    );
    const wheels = path.join(cache, `jupyter-${requirementsKey(root)}-${tag}`);
    if (!existsSync(wheels)) {
      requireDiskSpace(cache, 3e8, purpose);
      await makeFolder(wheels, async (temporary) => {
        const scratch = path.join(temporary, 'scratch');
        mkdirSync(scratch);
        await watchGrowth(progress, scratch, undefined, () =>
          runOrThrow(
            purpose,
            python,
            ['-m', 'pip', 'wheel', '--retries', '2', '-w', temporary, '-r', requirements],
            { env: { ...env, TMPDIR: scratch } },
          ),
        );
        rmSync(scratch, { recursive: true });
      });
    }
    requireDiskSpace(root, 4e8, purpose);
    await runOrThrow(
      purpose,
      python,
      ['-m', 'pip', 'install', '--no-index', '--find-links', wheels, '-r', requirements],
      { env },
    );
    writeFileSync(stampFile(root), requirementsKey(root));
  },
};

/**
 * The TypeScript kernel, registered in `.venv` for this clone's tslab.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const tslabKernel = {
  title: 'tslab kernel',

  isDone({ root }) {
    return registeredKernel(root) === tslabProgram(root);
  },

  async run({ root, env }) {
    const program = tslabProgram(root);
    // tslab registers itself with the first python on the PATH.
    const folder = path.dirname(venvProgram(root, 'python'));
    await runOrThrow(
      'The registration of the tslab kernel',
      program,
      ['install', '--sys-prefix', '--python', venvProgram(root, 'python'), '--binary', program],
      { env: { ...env, PATH: `${folder}${path.delimiter}${env.PATH ?? ''}` } },
    );
  },
};

/**
 * The program that `.venv`'s tslab kernel starts, or undefined when none is registered.
 *
 * @param {string} root
 * @returns {string | undefined}
 */
export function registeredKernel(root) {
  const folder = path.join(root, '.venv', 'share', 'jupyter', 'kernels', 'tslab');
  return readJson(path.join(folder, 'kernel.json'))?.argv?.[0];
}

/** @param {string} root */
function tslabProgram(root) {
  const name = process.platform === 'win32' ? 'tslab.cmd' : 'tslab';
  return path.join(root, 'node_modules', '.bin', name);
}

/** @param {string} root */
function requirementsFile(root) {
  return path.join(root, 'data-scripts', 'requirements', 'jupyter.txt');
}

/** @param {string} root */
function requirementsKey(root) {
  const text = readFileSync(requirementsFile(root));
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

/** @param {string} root */
function stampFile(root) {
  return path.join(root, '.venv', 'jupyter-installed');
}

/** @param {string} root */
function stampOf(root) {
  return existsSync(stampFile(root)) ? readFileSync(stampFile(root), 'utf8') : undefined;
}
