import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { packageRoot } from '../../src/core/package-root.js';

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
 * folder that TARFLOW_RESULTS names, as `npm run workbook` sets it; in quick mode in a temporary
 * one; else in `scratch/` beside the package.json, which git ignores, so that running a notebook
 * never changes the evidence.
 */
export function resultFile(name: string): string {
  if (inQuickMode()) return path.join(os.tmpdir(), 'tarflow-quick', name);
  const chosen = chosenFolder();
  return path.join(chosen ? path.resolve(chosen) : path.join(packageRoot(), 'scratch'), name);
}

/** True where what notebooks write goes to `scratch/`, since no folder was chosen for it. */
export function inScratch(): boolean {
  return !inQuickMode() && !chosenFolder();
}

const chosenFolder = (): string | undefined => process.env.TARFLOW_RESULTS;

/**
 * Where a notebook reads a file of results, for example `checkpoints/emoji-256-tokens.safetensors`: in the
 * folder that TARFLOW_RESULTS names, where that has one; else in the results folder.
 */
export function resultToRead(name: string): string {
  const own = resultFile(name);
  const chosen = chosenFolder() && !inQuickMode() && fs.existsSync(own);
  return chosen ? own : path.join(resultsFolder(), name);
}

/**
 * True under TARFLOW_QUICK=1. The tests run every notebook in this mode, with the same cells and
 * smaller counts, and nothing is written to results/.
 */
export function inQuickMode(): boolean {
  return process.env.TARFLOW_QUICK === '1';
}

/**
 * True under TARFLOW_SHORT=1, as `npm run workbook` sets it unless `-- --all` is given: the largest
 * samples are smaller, and figures of fewer samples than the committed ones are read, not recorded.
 */
export function inShortRun(): boolean {
  return process.env.TARFLOW_SHORT === '1';
}

/**
 * A count of steps, samples or images in a notebook: `full`, `reduced` under TARFLOW_QUICK=1, or
 * `short` in a short run.
 */
export function quick<T>(full: T, reduced: T, short: T = full): T {
  if (inQuickMode()) return reduced;
  return inShortRun() ? short : full;
}
