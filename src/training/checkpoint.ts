import { z } from 'zod';
import type { tf } from '../backend/tf.js';
import type { Model } from '../flow/model.js';
import { stateDict } from '../flow/state-dict.js';
import { type HostTensor, writeSafetensors } from '../formats/safetensors.js';
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

/** How a checkpoint's numbers are stored. Half the bytes cost about three decimal digits. */
export type StoredPrecision = 'F32' | 'F16' | 'BF16';

/**
 * Writes a model as safetensors under the published names, whole or not at all.
 *
 * @param precision of the parameters; buffers stay F32
 * @throws UserError where the file cannot be written
 */
export async function saveCheckpoint(
  model: Model,
  path: string,
  details: CheckpointDetails = {},
  precision: StoredPrecision = 'F32',
): Promise<void> {
  const tensors: Record<string, HostTensor> = {};
  for (const [name, tensor] of Object.entries(stateDict(model))) {
    tensors[name] = hostTensor(tensor, name in model.buffers ? 'F32' : precision);
  }
  await writeSafetensors(path, tensors, {
    format: 'tarflow',
    config: JSON.stringify(model.config),
    details: JSON.stringify(details),
  });
}

/** The fields of {@link CheckpointDetails}. */
export const detailsSchema: z.ZodType<CheckpointDetails> = z.object({
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
