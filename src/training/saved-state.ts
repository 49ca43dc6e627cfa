import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { FileUnreadable } from '../core/files.js';
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
import { checkedMetadata, checkpointDetails, checkpointName, latentsSchema } from './checkpoint.js';
import { readRunDescription, writtenConfig } from './run-description.js';

/**
 * Training states as files. In the folder of a run a state has its step in its name, and the valid
 * one is that of the step which `checkpoint.safetensors` tells of itself. To save a step:
 *
 * 1. the log is put on the disk;
 * 2. the state is, under its name: written beside it, synced, renamed, the folder synced;
 * 3. the checkpoint is, in the same way, in the place of the one before;
 * 4. the states of other steps are removed.
 *
 * A run that stops before the renaming of 3, for whatever reason, has the step that was saved before
 * it, and its half of a new one is removed when it is opened again; one that stops after it has the
 * new step. Where there was no checkpoint before, a state alone is enough to go on from, and the
 * run then writes its checkpoint first.
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

/** The last saved state of a run, open: the caller closes its file. */
export interface LastState {
  step: number;
  file: SafetensorsFile;
  header: StateHeader;
  /** Whether the folder's checkpoint is of the same step: not where a save was cut short. */
  checkpointed: boolean;
}

/**
 * Opens the last saved state of a run, which may be going on: that of its checkpoint's step. Where there
 * is no checkpoint, as the first save was cut short or somebody deleted it, its newest state.
 *
 * @param before training steps behind the run, by the file that it began with
 * @returns none where the folder has no state yet
 * @throws UserError where a file is damaged or of another step, or the checkpoint's state is missing
 */
export async function openLastState(
  folder: string,
  before: number,
): Promise<LastState | undefined> {
  let removed: number | undefined;
  for (;;) {
    const valid = await validStep(folder, before);
    if (!valid) return undefined;
    try {
      return { ...valid, ...(await openNumbered(folder, valid.step)) };
    } catch (error) {
      // A run that goes on may have saved meanwhile, and removed the state of the step before.
      if (!(error instanceof FileUnreadable) || valid.step === removed) throw error;
      removed = valid.step;
    }
  }
}

/** Opens the state that is named by a step, and compares it with what it says of itself. */
async function openNumbered(folder: string, step: number) {
  const file = await openSafetensors(path.join(folder, stateName(step)));
  try {
    const header = stateHeader(file);
    if (header.step === step) return { file, header };
    const problem = `${file.path} says that it is of step ${header.step}`;
    throw new UserError(problem, `Expected step ${step}: put the file back that the run wrote`);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The step whose state is the valid one, and whether the folder's checkpoint is of it. */
async function validStep(
  folder: string,
  before: number,
): Promise<{ step: number; checkpointed: boolean } | undefined> {
  const checkpoint = path.join(folder, checkpointName);
  const savedStep = async (): Promise<number | undefined> =>
    existsSync(checkpoint) ? (await checkpointSteps(checkpoint)) - before : undefined;
  for (;;) {
    const saved = await savedStep();
    const names = await readdir(folder);
    const steps = names.flatMap((name) => numbered.exec(name)?.[1] ?? []).map(Number);
    if (saved !== undefined && steps.includes(saved)) return { step: saved, checkpointed: true };
    // As above: the run has another state by now.
    if ((await savedStep()) !== saved) continue;
    if (saved === undefined) {
      return steps.length > 0 ? { step: Math.max(...steps), checkpointed: false } : undefined;
    }
    throw new UserError(
      `${checkpoint} is of step ${saved}, whose ${stateName(saved)} is not beside it`,
      'Put that there, or the checkpoint away to go on from another state in the folder; ' +
        'or begin a new run with it (--from)',
    );
  }
}

async function checkpointSteps(checkpoint: string): Promise<number> {
  const { steps } = await withSafetensors(checkpoint, async (file) => checkpointDetails(file));
  if (steps !== undefined) return steps;
  throw new UserError(
    `${checkpoint} does not say of which step it is`,
    'Put the one back that the run wrote, or begin a new run with it (--from)',
  );
}

/**
 * Opens the last saved state of the run in a folder, which may be going on. The caller closes the file.
 * @throws UserError where the folder holds no run, or one that has saved nothing
 */
export async function openStateOf(
  folder: string,
): Promise<{ file: SafetensorsFile; header: StateHeader }> {
  const { from } = await readRunDescription(folder);
  const last = await openLastState(folder, from?.steps ?? 0);
  if (!last) {
    throw new UserError(`The run in ${folder} has saved no state yet`, 'Wait until it has');
  }
  return last;
}
