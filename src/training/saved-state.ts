import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { FileUnreadable, readBytes } from '../core/files.js';
import type { Leaves } from '../core/tree.js';
import type { LatentFacts } from '../data/description.js';
import type { ModelConfig } from '../flow/model.js';
import { checkKind, type FileKind, kindMetadata } from '../formats/kind.js';
import { tensorSource } from '../formats/leaves.js';
import {
  openSafetensors,
  type SafetensorsFile,
  type TensorSource,
  writeSafetensors,
} from '../formats/safetensors.js';
import {
  type CheckpointDetails,
  checkedMetadata,
  checkpointDetails,
  latentsSchema,
} from './checkpoint.js';
import { parseDescription } from './run-description.js';

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

/** What a run trains, in its folder. */
export const descriptionName = 'run.json';

/** The flow of a run's last saved step, in its folder. */
export const checkpointName = 'checkpoint.safetensors';

/** What a model is called by its file: that of a run by its folder, since all those files are called alike. */
export function titleOfCheckpoint(file: string): string {
  const { base, name } = path.parse(file);
  return base === checkpointName ? path.basename(path.dirname(path.resolve(file))) : name;
}

/** What a run's folder had before states were numbered. */
const unnumbered = 'state.safetensors';

const numbered = /^state-(\d+)\.safetensors$/;

/** The name of the state of a step. */
export function stateName(step: number): string {
  return `state-${step}.safetensors`;
}

/** Whether a file of a run's folder is a state. */
export function isStateName(name: string): boolean {
  return name === unnumbered || numbered.test(name);
}

/** What a state says of itself. */
export interface StateHeader {
  config: ModelConfig;
  /** Steps of its run. */
  step: number;
  /** Training steps behind it, those of the runs included that its run went on from. */
  steps: number;
  /** Of what latents its run was trained on; absent in states of before, and where there are none. */
  latents?: LatentFacts | undefined;
}

/** Names of AdamW's moments in a state. */
const moment = /^(first|second)\./;

/**
 * Writes a training state, whole or not at all; one of its tensors at a time is on the host.
 * @throws FileUnwritable
 */
export async function writeState(file: string, state: Leaves, header: StateHeader): Promise<void> {
  const sources = Object.entries(state).map(
    ([name, tensor]) => [name, tensorSource(tensor, 'F32')] as const,
  );
  await writeSafetensors(file, Object.fromEntries(sources), stateMetadata(header));
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
    const { shape } = state.tensors[name] as { shape: number[] };
    // The parameters' and the mean's leaves; what else there is are a few numbers, kept exact.
    const dtype = /^(parameters|average)\./.test(name) ? 'BF16' : 'F32';
    return [name, { shape, dtype, data: async () => (await state.read(name)).data }];
  });
  await writeSafetensors(file, Object.fromEntries(sources), stateMetadata(header));
}

/** The names of all tensors of a state that another run can begin with: all but the moments. */
export function startingNames({ tensors }: SafetensorsFile): string[] {
  return Object.keys(tensors).filter((name) => !moment.test(name));
}

/** A model's configuration as a file has it; whoever makes a model of it checks it by its family. */
const writtenConfig: z.ZodType<ModelConfig> = z.looseObject({
  kind: z.string(),
  image: z.object({ channels: z.number(), height: z.number(), width: z.number() }),
  classes: z.number(),
});
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
  return {
    config: checkedMetadata(file, 'config', writtenConfig),
    step: count(file, 'step'),
    steps: count(file, 'steps'),
    ...(file.metadata.latents !== undefined && {
      latents: checkedMetadata(file, 'latents', latentsSchema),
    }),
  };
}

/** Where a run's last saved step is. */
export interface ValidState {
  step: number;
  /** The path of its state. */
  file: string;
  /** Whether the folder's checkpoint is of the same step: not where a save was cut short. */
  checkpointed: boolean;
}

/**
 * The last saved step of a run: that of its checkpoint. Where there is no checkpoint, as the first
 * save was cut short or somebody deleted it, that of its newest state.
 *
 * @param before training steps behind the run, by the file that it began with
 * @returns none where the folder has no state yet
 * @throws UserError where a file is damaged, or the checkpoint's state is missing
 */
export async function validState(folder: string, before: number): Promise<ValidState | undefined> {
  const checkpoint = path.join(folder, checkpointName);
  const savedStep = async (): Promise<number | undefined> =>
    existsSync(checkpoint) ? (await checkpointSteps(checkpoint)) - before : undefined;
  for (;;) {
    const saved = await savedStep();
    const names = await readdir(folder);
    const steps = names.flatMap((name) => {
      const step = numbered.exec(name)?.[1];
      return step === undefined ? [] : [Number(step)];
    });
    const at = (step: number, checkpointed: boolean): ValidState => {
      return { step, file: path.join(folder, stateName(step)), checkpointed };
    };
    if (saved !== undefined && steps.includes(saved)) return at(saved, true);
    // A run that goes on may have saved meanwhile, and removed the state of the step before.
    if ((await savedStep()) !== saved) continue;
    if (names.includes(unnumbered)) {
      const file = path.join(folder, unnumbered);
      const step = await unnumberedStep(file);
      return { step, file, checkpointed: step === saved };
    }
    if (saved === undefined) return steps.length > 0 ? at(Math.max(...steps), false) : undefined;
    throw new UserError(
      `${checkpoint} is of step ${saved}, whose ${stateName(saved)} is not beside it`,
      'Put that there, or the checkpoint away to go on from another state in the folder; ' +
        'or begin a new run with it (--from)',
    );
  }
}

/** An open state, which the caller closes, and what it says of itself. */
export interface OpenState {
  file: SafetensorsFile;
  header: StateHeader;
}

/**
 * Opens the last saved state of a run, which may be going on.
 * @throws UserError where the folder holds no run, or one that has saved nothing
 */
export async function openLastState(folder: string): Promise<OpenState> {
  const describedIn = path.join(folder, descriptionName);
  const text = Buffer.from(await readBytes(describedIn)).toString('utf8');
  const { config, from } = parseDescription(text, describedIn);
  const before = from?.steps ?? 0;
  const { step, file } = await openValidState(folder, before);
  try {
    // A state from before they were numbered says only its step.
    const isOld = path.basename(file.path) === unnumbered;
    const header = isOld ? { config, step, steps: before + step } : stateHeader(file);
    // States of before do not say their latents; the checkpoint beside them does.
    const latents = header.latents ?? (await folderLatents(folder).catch(() => undefined));
    return { file, header: { ...header, ...(latents && { latents }) } };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openValidState(
  folder: string,
  before: number,
): Promise<{ step: number; file: SafetensorsFile }> {
  let removed: string | undefined;
  for (;;) {
    const valid = await validState(folder, before);
    if (!valid) {
      throw new UserError(`The run in ${folder} has saved no state yet`, 'Wait until it has');
    }
    try {
      return { step: valid.step, file: await openSafetensors(valid.file) };
    } catch (error) {
      // As above: the run has another state by now.
      if (!(error instanceof FileUnreadable) || valid.file === removed) throw error;
      removed = valid.file;
    }
  }
}

/** Of what latents a run's last checkpoint was trained on; undefined where it does not say it. */
export async function folderLatents(folder: string): Promise<LatentFacts | undefined> {
  return (await folderDetails(folder))?.latents;
}

/** On which split a run's last checkpoint was trained; undefined where it does not say it. */
export async function folderSplit(folder: string): Promise<string | undefined> {
  return (await folderDetails(folder))?.split;
}

async function folderDetails(folder: string): Promise<CheckpointDetails | undefined> {
  const checkpoint = path.join(folder, checkpointName);
  if (!existsSync(checkpoint)) return undefined;
  const file = await openSafetensors(checkpoint);
  try {
    return checkpointDetails(file);
  } finally {
    await file.close();
  }
}

async function checkpointSteps(checkpoint: string): Promise<number> {
  const file = await openSafetensors(checkpoint);
  try {
    const { steps } = checkpointDetails(file);
    if (steps !== undefined) return steps;
  } finally {
    await file.close();
  }
  throw new UserError(
    `${checkpoint} does not say of which step it is`,
    'Put the one back that the run wrote, or begin a new run with it (--from)',
  );
}

async function unnumberedStep(state: string): Promise<number> {
  const file = await openSafetensors(state);
  try {
    return count(file, 'step');
  } finally {
    await file.close();
  }
}

function stateMetadata({ config, step, steps, latents }: StateHeader): Record<string, string> {
  return {
    ...kindMetadata(kind),
    step: String(step),
    steps: String(steps),
    config: JSON.stringify(config),
    ...(latents && { latents: JSON.stringify(latents) }),
  };
}

/** A number of steps in a file's metadata. */
function count({ path: file, metadata }: SafetensorsFile, name: string): number {
  const text = metadata[name] ?? '';
  if (/^\d+$/.test(text)) return Number(text);
  throw new UserError(
    `${file} does not say its ${name}`,
    'It is damaged: begin a new run, or take another file',
  );
}
