import { stat } from 'node:fs/promises';
import * as path from 'node:path';
import { startEngine } from '../core/engine.js';
import type { SafetensorsFile } from '../formats/safetensors.js';
import { openTensorFile } from '../formats/tensor-file.js';
import {
  isState,
  openStateOf,
  readState,
  type StateHeader,
  stateHeader,
} from '../training/saved-state.js';
import { type LoadedStartingPoint, namedInState } from '../training/state.js';
import { readCheckpoint, readDescription } from './load-checkpoint.js';

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
  return withOpened(from, async (file, header) => {
    const about = { checkpoint: path.basename(path.resolve(from)), sha256: await file.sha256() };
    if (header) {
      const { config, steps, latents } = header;
      return { ...about, config, steps, latents, state: await readState(file, 'start') };
    }
    const model = await readCheckpoint(file);
    // The model is not used any more, and its tensors are the state's.
    const { steps = 0, latents } = model.details;
    return { ...about, config: model.config, steps, latents, state: namedInState(model) };
  });
}

/**
 * The model of a starting point, and of what latents it was trained on, as {@link readStartingPoint}
 * gives them: no numbers are read, and no engine is started.
 *
 * @throws UserError where it is none
 */
export async function readStartingConfig(
  from: string,
): Promise<Pick<LoadedStartingPoint, 'config' | 'latents'>> {
  return withOpened(from, async (file, header) => {
    if (header) return { config: header.config, latents: header.latents };
    const { config, details } = readDescription(file);
    return { config, latents: details.latents };
  });
}

/** Calls `use` with the file of a starting point, and with its header where it is a state. */
async function withOpened<R>(
  from: string,
  use: (file: SafetensorsFile, header: StateHeader | undefined) => Promise<R>,
): Promise<R> {
  const isFolder = (await stat(from).catch(() => undefined))?.isDirectory();
  const opened = isFolder ? await openStateOf(from) : { file: await openTensorFile(from) };
  const { file } = opened;
  try {
    const header = 'header' in opened ? opened.header : isState(file) && stateHeader(file);
    return await use(file, header || undefined);
  } finally {
    await file.close();
  }
}
