import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { packageRoot } from '../src/core/package-root.js';
import { inQuickMode, training } from './quick.js';

/**
 * The project's results folder, which is committed. It lies beside the package.json, wherever the
 * calling notebook or script is run from. Notebooks read from it by {@link resultToRead} and write by
 * {@link resultFile}.
 */
export function resultsFolder(): string {
  return path.join(packageRoot(), 'results');
}

/**
 * Where a notebook writes a file of its results, for example `pictures/02-samples.png`: in the
 * folder that TARFLOW_RESULTS names, else in the results folder; in quick mode, which must not touch
 * results, in a temporary one.
 */
export function resultFile(name: string): string {
  const { TARFLOW_RESULTS: chosen } = process.env;
  if (inQuickMode()) return path.join(os.tmpdir(), 'tarflow-quick', name);
  return path.join(chosen ? path.resolve(chosen) : resultsFolder(), name);
}

/**
 * Where a notebook reads a file of results, for example `checkpoints/emoji-256-tokens.safetensors`:
 * in the results folder. Where models are trained anew it is the file that {@link resultFile} names,
 * once it is there.
 */
export function resultToRead(name: string): string {
  const anew = resultFile(name);
  if (training() && !inQuickMode() && fs.existsSync(anew)) return anew;
  return path.join(resultsFolder(), name);
}
