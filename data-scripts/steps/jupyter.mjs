import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { kernelSpec, writeKernel } from '../../packages/kernel/kernelspec.mjs';
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
 * The TypeScript kernels, registered in `.venv`: this project's own under the names `tarflow` and
 * `tslab`, which the notebooks ask for, and plain tslab as `tslab-plain`.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const kernels = {
  title: 'Notebook kernels',

  isDone({ root }) {
    return Object.entries(kernelSpecs(root)).every(([name, spec]) =>
      isDeepStrictEqual(readJson(kernelFile(root, name)), spec),
    );
  },

  async run({ root }) {
    for (const [name, spec] of Object.entries(kernelSpecs(root))) {
      writeKernel(path.dirname(kernelFile(root, name)), spec);
    }
  },
};

/**
 * What Jupyter reads about each kernel.
 *
 * @param {string} root
 * @returns {Record<string, object>}
 */
export function kernelSpecs(root) {
  const own = (/** @type {string} */ displayName) =>
    kernelSpec({ displayName, node: 'node', folder: path.join(root, 'packages', 'kernel') });
  const tslab = path.join(root, 'node_modules', 'tslab', 'bin', 'tslab');
  return {
    tarflow: own('TypeScript (tarflow)'),
    tslab: own('TypeScript (tarflow as tslab)'),
    'tslab-plain': {
      display_name: 'TypeScript (tslab itself)',
      argv: ['node', tslab, 'kernel', '--config-path', '{connection_file}'],
      language: 'typescript',
    },
  };
}

/**
 * @param {string} root
 * @param {string} name
 */
function kernelFile(root, name) {
  return path.join(root, '.venv', 'share', 'jupyter', 'kernels', name, 'kernel.json');
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
