import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { inQuickMode } from './quick.js';

/**
 * The project's results folder. It lies beside the package.json, wherever the calling notebook or
 * script is run from.
 */
export function resultsFolder(): string {
  return path.join(packageRoot(), 'results');
}

/**
 * Where a notebook writes a result file, for example `pictures/02-samples.png`: in the results
 * folder, or in a temporary one in quick mode, which must not change results.
 */
export function resultFile(name: string): string {
  const folder = inQuickMode() ? path.join(os.tmpdir(), 'tarflow-quick') : resultsFolder();
  return path.join(folder, name);
}

/** The folder of the nearest package.json above this file, which may be in src/ or dist/. */
export function packageRoot(): string {
  let folder = __dirname;
  while (!fs.existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder);
  return folder;
}
