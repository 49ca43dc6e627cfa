import { startEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import type { tf } from '../backend/tf.js';
import { checkConfig, type FlowConfig } from '../flow/config.js';
import { inferConfig, publishedFlow, stateDict } from '../flow/state-dict.js';
import type { TarFlow } from '../flow/tarflow.js';
import { type HostTensor, readSafetensors, writeSafetensors } from '../formats/safetensors.js';
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
      : parse<FlowConfig>(path, 'config', metadata.config);
  checkConfig(config);
  const details =
    metadata.details === undefined
      ? {}
      : parse<CheckpointDetails>(path, 'details', metadata.details);
  return { ...publishedFlow(config, tensors, path), details };
}

/** A tensor's numbers on the host, for a file. */
export function hostTensor(tensor: tf.Tensor, dtype: StoredPrecision): HostTensor {
  return { shape: tensor.shape.slice(), dtype, data: tensor.dataSync() as Float32Array };
}

function parse<T>(path: string, name: string, text: string): T {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null) return value as T;
  } catch {
    // Falls through to the error below, which names the place.
  }
  throw new UserError(
    `${path}: the metadata '${name}' is not a JSON object`,
    'The file is damaged, or not a TarFlow checkpoint; take it anew',
  );
}
