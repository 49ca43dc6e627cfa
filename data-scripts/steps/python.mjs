import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { requireDiskSpace } from '../lib/files.mjs';
import { findProgram, venvProgram } from '../lib/places.mjs';
import { run, runOrThrow } from '../lib/run.mjs';
import { SetupError } from '../lib/setup-error.mjs';

/** The oldest Python that JupyterLab runs on. */
const oldestMinor = 10;

const installRemedy =
  `Install Python 3.${oldestMinor} or newer with venv (Debian and Ubuntu: sudo apt-get install ` +
  'python3 python3-venv), then run the same command again';

/**
 * The project's own Python environment, `.venv`.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const pythonEnvironment = {
  title: 'Python environment (.venv)',

  isDone({ root }) {
    // Written last, and it names its place: an environment that was moved does not work.
    const stamp = stampFile(root);
    return (
      existsSync(venvProgram(root, 'python')) &&
      existsSync(stamp) &&
      readFileSync(stamp, 'utf8') === root
    );
  },

  async run({ root, env }) {
    const python = await findPython(env);
    requireDiskSpace(root, 4e8, 'The Python environment');
    const folder = path.join(root, '.venv');
    rmSync(folder, { recursive: true, force: true });
    await runOrThrow('The Python environment', python, ['-m', 'venv', folder], { env });
    writeFileSync(stampFile(root), root);
  },
};

/** @param {string} root */
function stampFile(root) {
  return path.join(root, '.venv', 'made-for');
}

/**
 * A Python that can make the environment.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string>} its path
 * @throws {SetupError} when there is none, with the nearest miss
 */
export async function findPython(env) {
  const names = ['python3', 'python'];
  for (let minor = 14; minor >= oldestMinor; minor -= 1) names.push(`python3.${minor}`);
  let miss = 'Python is not installed';
  for (const name of names) {
    const program = findProgram(name, env);
    if (!program) continue;
    const { status, output } = await run(
      program,
      ['-c', 'import sys; print(*sys.version_info[:2]); import venv, ensurepip'],
      { env },
    );
    const version = /^(\d+) (\d+)/.exec(output);
    if (!version) continue;
    const [major, minor] = [Number(version[1]), Number(version[2])];
    if (major < 3 || (major === 3 && minor < oldestMinor)) {
      miss = `Python ${major}.${minor} is too old`;
    } else if (status !== 0) {
      miss = `Python ${major}.${minor} lacks the venv module`;
    } else {
      return program;
    }
  }
  throw new SetupError(miss, installRemedy);
}
