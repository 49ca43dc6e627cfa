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
    return stampOf(root) === requirementsKey(root, 'jupyter');
  },

  async run(context) {
    const { root } = context;
    await installRequirements(context, {
      ...{ name: 'jupyter', purpose: 'The installation of JupyterLab' },
      python: venvProgram(root, 'python'),
    });
    writeFileSync(stampFile(root), requirementsKey(root, 'jupyter'));
  },
};

/**
 * Installs what a file of requirements lists. The wheels are kept in the cache, so that the next clone
 * needs no network.
 *
 * @param {import('../lib/steps.mjs').Context} context
 * @param {object} what
 * @param {string} what.name of the file, without its ending
 * @param {string} what.purpose what fails when it fails
 * @param {string} what.python of the environment that they go into
 * @param {readonly string[]} [what.options] of pip
 */
export async function installRequirements(context, { name, purpose, python, options = [] }) {
  const { root, cache, env, progress } = context;
  const requirements = requirementsFile(root, name);
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
  const wheels = path.join(cache, `${name}-${requirementsKey(root, name)}-${tag}`);
  const list = [...options, '-r', requirements];
  if (!existsSync(wheels)) {
    requireDiskSpace(cache, 3e8, purpose);
    await makeFolder(wheels, async (temporary) => {
      const scratch = path.join(temporary, 'scratch');
      mkdirSync(scratch);
      await watchGrowth(progress, scratch, undefined, () =>
        runOrThrow(
          purpose,
          python,
          ['-m', 'pip', 'wheel', '--retries', '2', '-w', temporary, ...list],
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
    ['-m', 'pip', 'install', '--no-index', '--find-links', wheels, ...list],
    { env },
  );
}

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

/**
 * @param {string} root
 * @param {string} name
 */
function requirementsFile(root, name) {
  return path.join(root, 'data-scripts', 'requirements', `${name}.txt`);
}

/**
 * Changes with a file of requirements.
 *
 * @param {string} root
 * @param {string} name of the file, without its ending
 */
export function requirementsKey(root, name) {
  const text = readFileSync(requirementsFile(root, name));
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
