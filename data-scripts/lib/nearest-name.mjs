import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from './places.mjs';

/**
 * A question for the name that was most likely meant, as the library's errors ask it; '' where none is
 * near, and before the library is built.
 *
 * @param {string} name
 * @param {readonly string[]} names
 * @returns {Promise<string>}
 */
export async function didYouMean(name, names) {
  const file = path.join(projectRoot, 'dist', 'src', 'core', 'errors.js');
  return existsSync(file) ? (await import(pathToFileURL(file).href)).didYouMean(name, names) : '';
}
