import { stat } from 'node:fs/promises';
import * as path from 'node:path';
import { startEngine } from '../backend/engine.js';
import { readLeaves } from '../formats/leaves.js';
import type { SafetensorsFile } from '../formats/safetensors.js';
import { openTensorFile } from '../formats/tensor-file.js';
import {
  isState,
  openLastState,
  type StateHeader,
  startingNames,
  stateHeader,
} from '../training/saved-state.js';
import type { LoadedStartingPoint } from '../training/starting-point.js';
import { namedInState } from '../training/state.js';
import { readCheckpoint } from './load-checkpoint.js';

/**
 * Reads what a run can begin with, instead of fresh parameters:
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
  const isFolder = (await stat(from).catch(() => undefined))?.isDirectory();
  const opened = isFolder ? await openLastState(from) : { file: await openTensorFile(from) };
  const { file } = opened;
  try {
    const digest = await file.sha256();
    const header = 'header' in opened ? opened.header : isState(file) && stateHeader(file);
    const learnt = header ? await ofState(file, header) : await ofCheckpoint(file);
    return { checkpoint: path.basename(path.resolve(from)), sha256: digest, ...learnt };
  } finally {
    await file.close();
  }
}

type Learnt = Omit<LoadedStartingPoint, 'checkpoint' | 'sha256'>;

async function ofState(
  file: SafetensorsFile,
  { config, steps, latents }: StateHeader,
): Promise<Learnt> {
  const state = await readLeaves(file, startingNames(file));
  return { config, steps, ...(latents && { latents }), state };
}

async function ofCheckpoint(file: SafetensorsFile): Promise<Learnt> {
  const model = await readCheckpoint(file);
  // The model is not used any more, and its tensors are the state's.
  const { steps = 0, latents } = model.details;
  return { config: model.config, steps, ...(latents && { latents }), state: namedInState(model) };
}
