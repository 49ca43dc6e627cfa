import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds package.json. */
export const projectRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

/**
 * The one folder for everything downloaded or compiled outside the clone: TARFLOW_CACHE, else
 * `tarflow` in XDG_CACHE_HOME, else `~/.cache/tarflow`. The library (src/core/cache-folder.ts) follows
 * the same rule.
 *
 * @param {NodeJS.ProcessEnv} [environment]
 */
export function cacheFolder(environment = process.env) {
  if (environment.TARFLOW_CACHE) return path.resolve(environment.TARFLOW_CACHE);
  const { XDG_CACHE_HOME: caches = '' } = environment;
  // The XDG specification: a relative path in XDG_CACHE_HOME is to be ignored.
  const base = path.isAbsolute(caches) ? caches : path.join(homedir(), '.cache');
  return path.join(base, 'tarflow');
}

/**
 * Whether a folder is a clone of the project, and not the package that npm installed.
 *
 * @param {string} root
 */
export function isClone(root) {
  // npm never packs it.
  return existsSync(path.join(root, 'package-lock.json'));
}

/**
 * The folder of an npm package as Node finds it from the project's folder, or undefined.
 *
 * @param {string} root
 * @param {string} name
 * @returns {string | undefined}
 */
export function npmPackage(root, name) {
  const folder = path.join(root, 'node_modules', name);
  if (existsSync(path.join(folder, 'package.json'))) return folder;
  const above = path.dirname(root);
  return above === root ? undefined : npmPackage(above, name);
}

/**
 * A program of one of the project's own Python environments.
 *
 * @param {string} root the project's folder
 * @param {string} program such as `python`
 * @param {string} [environment] its folder
 */
export function venvProgram(root, program, environment = '.venv') {
  return process.platform === 'win32'
    ? path.join(root, environment, 'Scripts', `${program}.exe`)
    : path.join(root, environment, 'bin', program);
}

/**
 * Where a program lies on the PATH, or undefined.
 *
 * @param {string} program
 * @param {NodeJS.ProcessEnv} [environment]
 */
export function findProgram(program, environment = process.env) {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd'] : [''];
  for (const folder of (environment.PATH ?? '').split(path.delimiter)) {
    for (const ending of endings) {
      const file = path.join(folder, program + ending);
      if (folder !== '' && existsSync(file)) return file;
    }
  }
  return undefined;
}
