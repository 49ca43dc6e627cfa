import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import type { Leaves } from '../core/tree.js';
import type { LatentFacts } from '../data/source.js';
import type { ModelConfig } from '../flow/model.js';
import { readLeaves, tensorSource } from '../formats/leaves.js';
import { checkKind, type FileKind, kindMetadata } from '../formats/metadata.js';
import {
  openSafetensors,
  type SafetensorsFile,
  type TensorSource,
  withSafetensors,
  writeSafetensors,
} from '../formats/safetensors.js';
import { DamagedFile } from '../formats/safetensors-errors.js';
import { checkedMetadata, checkpointDetails, checkpointName, latentsSchema } from './checkpoint.js';
import { readRunDescription, writtenConfig } from './run-description.js';

/**
 * Training states as files. In the folder of a run a state has its step in its name, and the newest one that
 * is not damaged is valid. To save a step:
 *
 * 1. the log is put on the disk;
 * 2. the state is, under its name: written beside it, synced, renamed, the folder synced;
 * 3. the checkpoint is, in the same way, in the place of the one before;
 * 4. all states but this one and the one before it are removed.
 *
 * A run that stops before the renaming of 2, for whatever reason, has the step that was saved before, and its
 * half of a new one is removed when it is opened again. Where the checkpoint is not of the step that a run
 * goes on from, it writes that first.
 */

const kind: FileKind = { format: 'tarflow state', version: 1, what: 'a training state' };

const numbered = /^state-(\d+)\.safetensors$/;

/** The name of the state of a step. */
export function stateName(step: number): string {
  return `state-${step}.safetensors`;
}

/** Whether a file of a run's folder is a state. */
export function isStateName(name: string): boolean {
  return numbered.test(name);
}

/** What a state says of itself. */
export interface StateHeader {
  config: ModelConfig;
  /** Steps of its run. */
  step: number;
  /** Training steps behind it, those of the runs included that its run went on from. */
  steps: number;
  /** Of what latents its run was trained on; absent where there are none. */
  latents?: LatentFacts | undefined;
}

/** In a file the variance of a prior, a buffer, has no kind before its name. */
const bare = { inFile: 'var', inState: 'buffers.var' };

/**
 * Writes a training state, whole or not at all; one of its tensors at a time is on the host.
 * @throws FileUnwritable
 */
export async function writeState(file: string, state: Leaves, header: StateHeader): Promise<void> {
  const sources = Object.entries(state).map(([name, tensor]) => [
    name === bare.inState ? bare.inFile : name,
    tensorSource(tensor, 'F32'),
  ]);
  await writeSafetensors(file, Object.fromEntries(sources), stateMetadata(header));
}

/**
 * The tensors of an open state, or of a snapshot of one, under their names in a state.
 *
 * @param only `start` for those with which another run can begin: all but the optimiser's moments
 * @returns tensors that the caller frees
 * @throws UserError where the file is damaged
 */
export async function readState(file: SafetensorsFile, only?: 'start'): Promise<Leaves> {
  const { [bare.inFile]: variance, ...state } = await readLeaves(file, only && startingNames(file));
  return variance ? { ...state, [bare.inState]: variance } : state;
}

/**
 * Writes what another run needs of a state to begin with, small enough to be kept: parameters and
 * their running mean in bfloat16, and the steps behind them, without the optimiser's moments.
 *
 * @throws FileUnwritable, and errors of reading the state
 */
export async function writeSnapshot(
  file: string,
  state: SafetensorsFile,
  header: StateHeader,
): Promise<void> {
  const sources = startingNames(state).map((name): [string, TensorSource] => {
    // The parameters' and the mean's leaves; what else there is are a few numbers, kept exact.
    const dtype = /^(parameters|average)\./.test(name) ? 'BF16' : 'F32';
    const shape = state.tensors[name]?.shape ?? [];
    return [name, { shape, dtype, data: async () => (await state.read(name)).data }];
  });
  await writeSafetensors(file, Object.fromEntries(sources), stateMetadata(header));
}

/** The names of all tensors of a state that another run can begin with: all but the moments. */
function startingNames({ tensors }: SafetensorsFile): string[] {
  return Object.keys(tensors).filter((name) => !/^(first|second)\./.test(name));
}

/** Whether an open file is a training state or a snapshot of one, of whatever version. */
export function isState({ metadata }: SafetensorsFile): boolean {
  return metadata.format === kind.format;
}

/**
 * What an open training state says of itself.
 * @throws UserError where it is none, of a newer version, or damaged
 */
export function stateHeader(file: SafetensorsFile): StateHeader {
  checkKind(file.path, file.metadata, kind, 'Take a state of a run, or a snapshot');
  const { latents } = file.metadata;
  return {
    config: checkedMetadata(file, 'config', writtenConfig),
    step: checkedMetadata(file, 'step', count),
    steps: checkedMetadata(file, 'steps', count),
    ...(latents !== undefined && { latents: checkedMetadata(file, 'latents', latentsSchema) }),
  };
}

const count = z.int().min(0);

function stateMetadata({ config, step, steps, latents }: StateHeader): Record<string, string> {
  return {
    ...kindMetadata(kind),
    step: String(step),
    steps: String(steps),
    config: JSON.stringify(config),
    ...(latents && { latents: JSON.stringify(latents) }),
  };
}

/** A saved state, open: the caller closes its file. */
interface OpenedState {
  file: SafetensorsFile;
  header: StateHeader;
}

/**
 * Opens the last saved state of a run, which may be going on: the newest one that is not damaged. One that
 * is, is named in a warning.
 *
 * @returns none where the folder has no state yet
 * @throws UserError where all are damaged, or the folder has a checkpoint and no state
 */
export async function openLastState(folder: string): Promise<OpenedState | undefined> {
  const steps = await savedSteps(folder);
  const damaged: string[] = [];
  let problem: UserError | undefined;
  for (const step of steps) {
    try {
      // Where nothing is damaged, the checkpoint is not of a later step.
      const opened = await openNumbered(folder, step, damaged.length === 0);
      const used = `${damaged.join('; ')}. The state of step ${step}, before it, is used instead.`;
      if (damaged.length > 0) process.emitWarning(used, { type: 'TarflowWarning' });
      return opened;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      problem = error;
      if (!(error instanceof DamagedFile)) break;
      damaged.push(error.problem);
    }
  }
  if (String(await savedSteps(folder)) !== String(steps)) return openLastState(folder);
  if (damaged.length > 0 && damaged.length === steps.length) {
    const remedy = 'Put one back, or begin a new run with its checkpoint (from, --from)';
    throw new DamagedFile(`No state in ${folder} is whole: ${damaged.join('; ')}`, remedy);
  }
  if (problem) throw problem;
  if (!existsSync(path.join(folder, checkpointName))) return undefined;
  throw new UserError(
    `${folder} has a ${checkpointName}, and no state of its run`,
    'Put the state back, or the checkpoint away to begin again; or begin a new run with it (from, --from)',
  );
}

/** The steps of which a folder has states, the last one first. */
export async function savedSteps(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  const steps = names.flatMap((name) => numbered.exec(name)?.[1] ?? []).map(Number);
  return steps.sort((a, b) => b - a);
}

/** @throws UserError where the folder's checkpoint is of a later step, whose state somebody took away */
async function checkNewest(folder: string, steps: number): Promise<void> {
  const checkpoint = path.join(folder, checkpointName);
  const saved = await stepsOfCheckpoint(checkpoint);
  if (saved === undefined || saved <= steps) return;
  throw new UserError(
    `${checkpoint} is of training step ${saved}, whose state is not beside it`,
    'Put that there, or the checkpoint away to go on from the state in the folder; or begin a new run with it (from, --from)',
  );
}

/** Opens the state that is named by a step, and checks all of it. */
async function openNumbered(folder: string, step: number, isLast: boolean): Promise<OpenedState> {
  const file = await openSafetensors(path.join(folder, stateName(step)));
  try {
    const header = stateHeader(file);
    if (header.step !== step) {
      const problem = `${file.path} says that it is of step ${header.step}`;
      throw new UserError(problem, `Expected step ${step}: put the file back that the run wrote`);
    }
    if (isLast) await checkNewest(folder, header.steps);
    for (const name of Object.keys(file.tensors)) await file.read(name);
    return { file, header };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The training steps behind a checkpoint; undefined where it is damaged or not there. */
export async function stepsOfCheckpoint(checkpoint: string): Promise<number | undefined> {
  try {
    return await withSafetensors(checkpoint, async (file) => checkpointDetails(file).steps);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/**
 * Opens the last saved state of the run in a folder, which may be going on. The caller closes the file.
 * @throws UserError where the folder holds no run, or one that has saved nothing
 */
export async function openStateOf(folder: string): Promise<OpenedState> {
  await readRunDescription(folder);
  const last = await openLastState(folder);
  if (!last) {
    throw new UserError(`The run in ${folder} has saved no state yet`, 'Wait until it has');
  }
  return last;
}
