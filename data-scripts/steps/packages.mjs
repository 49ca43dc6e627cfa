import path from 'node:path';
import { linkAtomically, pointsTo, readJson, requireDiskSpace } from '../lib/files.mjs';
import { findProgram } from '../lib/places.mjs';
import { runOrThrow } from '../lib/run.mjs';
import { SetupError } from '../lib/setup-error.mjs';

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, devOptional?: boolean,
 *   peerDependencies?: Record<string, string>,
 *   optionalDependencies?: Record<string, string> }} LockedPackage
 */

/**
 * The npm packages of package-lock.json, by `npm ci`.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const npmPackages = {
  title: 'npm packages',

  isDone({ root }) {
    /** @type {Record<string, LockedPackage> | undefined} */
    const wanted = readJson(path.join(root, 'package-lock.json'))?.packages;
    // npm writes this file last, so that an interrupted `npm ci` has none.
    /** @type {Record<string, LockedPackage> | undefined} */
    const installed = readJson(path.join(root, 'node_modules', '.package-lock.json'))?.packages;
    if (!wanted || !installed) return false;
    const own = Object.keys(wanted['']?.optionalDependencies ?? {});
    const isCurrent = Object.entries(wanted).every(([place, { version, integrity, optional }]) => {
      const found = installed[place];
      if (place === '') return true;
      // Another platform's package may be missing, but none that this project asks for.
      if (!found) return optional === true && !own.some((name) => place === `node_modules/${name}`);
      return found.version === version && found.integrity === integrity;
    });
    // What the user added of the optional packages is no reason to wipe it.
    const optional = Object.keys(wanted['']?.peerDependencies ?? {});
    const isAllowed = (/** @type {string} */ place) =>
      place in wanted || optional.some((name) => `${place}/`.startsWith(`node_modules/${name}/`));
    return isCurrent && Object.keys(installed).every(isAllowed);
  },

  async run({ root, env }) {
    requireDiskSpace(root, 1e9, 'The installation of the npm packages');
    const [program, ...first] = npmCommand(env);
    await runOrThrow(
      'The installation of the npm packages',
      program,
      [...first, 'ci', '--prefer-offline', '--no-audit', '--no-fund'],
      { cwd: root, env },
    );
  },
};

/**
 * The project among its own packages, so that notebooks and examples import it by its name, and
 * `npx tarflow` finds its command.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const ownName = {
  title: 'The package under its own name',
  isDone: ({ root }) =>
    ownLinks(root).every(([target, link]) => {
      // Windows keeps where a folder is joined from as an absolute path.
      return pointsTo(link, target) || pointsTo(link, path.resolve(path.dirname(link), target));
    }),

  async run({ root }) {
    for (const [target, link] of ownLinks(root)) linkAtomically(target, link);
  },
};

/**
 * @param {string} root
 * @returns {[target: string, link: string][]}
 */
const ownLinks = (root) => [
  ['..', path.join(root, 'node_modules', 'tarflow')],
  // On Windows npx finds the command by package.json.
  ...(process.platform === 'win32' ? [] : [commandLink(root)]),
];

/**
 * @param {string} root
 * @returns {[target: string, link: string]}
 */
const commandLink = (root) => [
  path.join('..', 'tarflow', 'src', 'cli', 'bin.js'),
  path.join(root, 'node_modules', '.bin', 'tarflow'),
];

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {[string, ...string[]]}
 */
export function npmCommand(env) {
  // The npm that runs this script, if one does; it is a JavaScript file.
  if (env.npm_execpath?.endsWith('.js')) return [process.execPath, env.npm_execpath];
  const npm = findProgram('npm', env);
  if (npm) return [npm];
  throw new SetupError(
    'npm is not installed',
    'Install it (it comes with Node.js; on Debian and Ubuntu: sudo apt-get install npm), then run ' +
      'the same command again',
  );
}
