import { z } from 'zod';
import { startEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import type { tf } from '../backend/tf.js';
import { checkConfig, type FlowConfig } from '../flow/config.js';
import { inferConfig, publishedFlow, stateDict } from '../flow/state-dict.js';
import type { TarFlow } from '../flow/tarflow.js';
import { type HostTensor, readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import type { Noise } from './batches/index.js';

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

/** How a checkpoint's numbers are stored. Half the bytes cost about three decimal digits. */
export type StoredPrecision = 'F32' | 'F16' | 'BF16';

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
  const tensors: Record<string, HostTensor> = {};
  for (const [name, tensor] of Object.entries(stateDict(flow))) {
    tensors[name] = hostTensor(tensor, name === 'var' ? 'F32' : precision);
  }
  await writeSafetensors(path, tensors, {
    format: 'tarflow',
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
 * @throws UserError that names what is missing, damaged or does not fit
 */
export async function loadCheckpoint(path: string, options: LoadOptions = {}): Promise<LoadedFlow> {
  await startEngine();
  const { tensors, metadata } = await readSafetensors(path);
  const config =
    metadata.config === undefined
      ? inferConfig(tensors, path, options)
      : parse(path, 'config', configSchema, metadata.config);
  try {
    checkConfig(config);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${path}: ${error.problem}`, error.remedy);
  }
  const details =
    metadata.details === undefined ? {} : parse(path, 'details', detailsSchema, metadata.details);
  return { ...publishedFlow(config, tensors, path), details };
}

const configSchema: z.ZodType<FlowConfig> = z.object({
  image: z.object({ channels: z.number(), height: z.number(), width: z.number() }),
  patchSize: z.number(),
  channels: z.number(),
  blocks: z.number(),
  layersPerBlock: z.number(),
  headWidth: z.number(),
  classes: z.number(),
  volumePreserving: z.boolean(),
  background: z.union([z.literal(0), z.literal(255)]).optional(),
});

const detailsSchema: z.ZodType<CheckpointDetails> = z.object({
  experiment: z.string().optional(),
  noise: z
    .discriminatedUnion('kind', [
      z.object({ kind: z.literal('gaussian'), sigma: z.number().positive() }),
      z.object({ kind: z.literal('uniform') }),
    ])
    .optional(),
  dataset: z.string().optional(),
  classNames: z.array(z.string()).optional(),
  seed: z.number().optional(),
  steps: z.number().optional(),
});

/** A tensor's numbers on the host, for a file. */
export function hostTensor(tensor: tf.Tensor, dtype: StoredPrecision): HostTensor {
  return { shape: tensor.shape.slice(), dtype, data: tensor.dataSync() as Float32Array };
}

function parse<T>(path: string, name: string, schema: z.ZodType<T>, text: string): T {
  let problem: string;
  try {
    const { data, error } = schema.safeParse(JSON.parse(text));
    if (!error) return data;
    const [issue] = error.issues;
    problem = [...(issue?.path ?? []).map(String), issue?.message ?? ''].join(': ');
  } catch (error) {
    problem = (error as Error).message;
  }
  throw new UserError(
    `${path}: the metadata '${name}' does not fit (${problem})`,
    'The file is damaged, or not a TarFlow checkpoint; take it anew',
  );
}
