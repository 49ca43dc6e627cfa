import { z } from 'zod';
import { startEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import { checkedJson } from '../backend/schema.js';
import { disposeTree } from '../backend/tree.js';
import { checkConfig, type FlowConfig } from '../flow/config.js';
import { inferConfig, publishedFlow, stateDict } from '../flow/state-dict.js';
import type { TarFlow } from '../flow/tarflow.js';
import { checkKind, type FileKind, kindMetadata } from '../formats/kind.js';
import { readLeaves, type StoredPrecision, tensorSource } from '../formats/leaves.js';
import {
  openSafetensors,
  type SafetensorsFile,
  type TensorSource,
  writeSafetensors,
} from '../formats/safetensors.js';
import type { Noise } from './noise.js';

/** What shapes cannot tell of a trained model; kept as JSON in the checkpoint's metadata. */
export interface CheckpointDetails {
  /** The experiment that made it. */
  experiment?: string;
  noise?: Noise;
  dataset?: string;
  /** What the labels stand for. */
  classNames?: string[];
  seed?: number;
  /** Training steps behind it. */
  steps?: number;
}

/** A flow from a file, with what the file tells of it. */
export interface LoadedFlow extends TarFlow {
  details: CheckpointDetails;
}

export type { StoredPrecision };

const kind: FileKind = { format: 'tarflow', version: 1, what: 'a checkpoint' };

/** What `format` says in files that other libraries wrote: which one did. */
const foreign: readonly (string | undefined)[] = [undefined, 'pt', 'np', 'tf', 'flax', 'mlx'];

/**
 * Writes a flow as safetensors under the published names, whole or not at all.
 *
 * @param precision of the parameters; the prior's variance stays F32
 * @throws UserError where the file cannot be written
 */
export async function saveCheckpoint(
  flow: TarFlow,
  path: string,
  details: CheckpointDetails = {},
  precision: StoredPrecision = 'F32',
): Promise<void> {
  const tensors: Record<string, TensorSource> = {};
  for (const [name, tensor] of Object.entries(stateDict(flow))) {
    tensors[name] = tensorSource(tensor, name === 'var' ? 'F32' : precision);
  }
  await writeSafetensors(path, tensors, {
    ...kindMetadata(kind),
    config: JSON.stringify(flow.config),
    details: JSON.stringify(details),
  });
}

export interface LoadOptions {
  /** Channels of the images, for a file that does not say; default 3. */
  imageChannels?: number;
  /** Width of an attention head, for a file that does not say; default 64. */
  headWidth?: number;
}

/**
 * Reads a flow from safetensors: one of ours, or a published state dict under its own names. Starts
 * the engine if none runs.
 *
 * @returns a flow that the caller frees with `disposeFlow`
 * @throws UserError that names what is missing, damaged or does not fit, or of which kind or version
 *   a file is that is not read here
 */
export async function loadCheckpoint(path: string, options: LoadOptions = {}): Promise<LoadedFlow> {
  await startEngine();
  const file = await openSafetensors(path);
  try {
    return await readCheckpoint(file, options);
  } finally {
    await file.close();
  }
}

/** `loadCheckpoint` of a file that is open. */
export async function readCheckpoint(
  file: SafetensorsFile,
  options: LoadOptions = {},
): Promise<LoadedFlow> {
  const { config, details } = checkpointHeader(file, options);
  const state = await readLeaves(file);
  try {
    return { ...publishedFlow(config, state, file.path), details };
  } finally {
    disposeTree(state);
  }
}

/**
 * What an open checkpoint says of its model, before its numbers are read.
 * @throws UserError as `loadCheckpoint` does
 */
export function checkpointHeader(
  file: SafetensorsFile,
  options: LoadOptions = {},
): { config: FlowConfig; details: CheckpointDetails } {
  const { path, metadata, tensors } = file;
  if (!foreign.includes(metadata.format)) {
    checkKind(path, metadata, kind, 'Take the checkpoint.safetensors of a training run');
  }
  const config =
    metadata.config === undefined
      ? inferConfig(tensors, path, options)
      : checkedMetadata(file, 'config', configSchema);
  try {
    checkConfig(config);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${path}: ${error.problem}`, error.remedy);
  }
  const details =
    metadata.details === undefined ? {} : checkedMetadata(file, 'details', detailsSchema);
  return { config, details };
}

/**
 * An entry of a file's metadata, which is JSON.
 * @throws UserError where it does not fit the schema
 */
export function checkedMetadata<T>(
  { path, metadata }: SafetensorsFile,
  name: string,
  schema: z.ZodType<T>,
): T {
  return checkedJson(
    schema,
    metadata[name] ?? '',
    `${path}: the metadata '${name}'`,
    'The file is damaged, or not one of ours; take it anew',
  );
}

export const configSchema: z.ZodType<FlowConfig> = z.strictObject({
  image: z.strictObject({ channels: z.number(), height: z.number(), width: z.number() }),
  patchSize: z.number(),
  channels: z.number(),
  blocks: z.number(),
  layersPerBlock: z.number(),
  headWidth: z.number(),
  classes: z.number(),
  volumePreserving: z.boolean(),
  background: z.union([z.literal(0), z.literal(255)]).optional(),
});

const detailsSchema: z.ZodType<CheckpointDetails> = z.strictObject({
  experiment: z.string().optional(),
  noise: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('gaussian'), sigma: z.number().positive() }),
      z.strictObject({ kind: z.literal('uniform') }),
    ])
    .optional(),
  dataset: z.string().optional(),
  classNames: z.array(z.string()).optional(),
  seed: z.number().optional(),
  steps: z.number().optional(),
});
