import * as path from 'node:path';
import { startEngine } from '../backend/engine.js';
import { sha256 } from '../backend/files.js';
import { readLeaves } from '../formats/leaves.js';
import { openState, startingNames } from '../training/saved-state.js';
import type { LoadedStartingPoint } from '../training/starting-point.js';
import { namedInState } from '../training/state.js';
import { loadCheckpoint } from './load-checkpoint.js';

/**
 * Reads what a run can begin with, in the place of fresh parameters:
 * - the folder of a run, one of its states, or a snapshot (`tarflow snapshot`): parameters, their
 *   running mean where that run kept one, and the steps behind them;
 * - a checkpoint: the parameters that it holds, which are the mean where its run kept one, and the
 *   steps behind them.
 *
 * Starts the engine if none runs.
 *
 * @returns tensors that the caller frees (`state`)
 * @throws UserError where it is none of these, or damaged
 */
export async function readStartingPoint(from: string): Promise<LoadedStartingPoint> {
  await startEngine();
  const checkpoint = path.basename(path.resolve(from));
  const opened = await openState(from);
  if (opened) {
    const { file, header } = opened;
    try {
      const digest = await sha256(file.path);
      const state = await readLeaves(file, startingNames(file));
      return { checkpoint, sha256: digest, steps: header.steps, config: header.config, state };
    } finally {
      await file.close();
    }
  }
  const digest = await sha256(from);
  const model = await loadCheckpoint(from);
  // The model is not used any more, and its tensors are the state's.
  const state = namedInState(model);
  const { config, details } = model;
  return { checkpoint, sha256: digest, steps: details.steps ?? 0, config, state };
}
