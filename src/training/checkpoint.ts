import { existsSync, statSync } from 'node:fs';
import * as path from 'node:path';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { checkedJson } from '../core/schema.js';
import type { LatentFacts } from '../data/source.js';
import type { Model, ModelConfig } from '../flow/model.js';
import { stateDict } from '../flow/state-dict.js';
import { type StoredPrecision, tensorSource } from '../formats/leaves.js';
import { checkKind, type FileKind, kindMetadata } from '../formats/metadata.js';
import {
  type SafetensorsFile,
  type TensorSource,
  writeSafetensors,
} from '../formats/safetensors.js';

/** What a run trains, in its folder. */
export const descriptionName = 'run.json';

/** The model of a run's last saved step, in its folder. */
export const checkpointName = 'checkpoint.safetensors';

/** The model of the step with the least validation loss, in its folder. */
export const bestName = 'best.safetensors';

/**
 * The file of a checkpoint: of a run's folder that of its last saved step.
 * @throws UserError for a folder without one
 */
export function checkpointFile(place: string): string {
  if (!statSync(`${place}`, { throwIfNoEntry: false })?.isDirectory()) return `${place}`;
  const file = path.join(place, checkpointName);
  if (existsSync(file)) return file;
  throw existsSync(path.join(place, descriptionName))
    ? new UserError(`The run in ${place} has saved no model yet`, 'Wait until it has, or resume it')
    : noRun(place);
}

/** The error for a folder that is expected to hold a run, and does not. */
export function noRun(folder: string, meant = ''): UserError {
  const remedy = 'Expected the folder of a run: the one into which a model was trained';
  return new UserError(`${folder} holds no run`, meant + remedy);
}

/** What a model is called by its file: that of a run by its folder, since all those files are called alike. */
export function titleOfCheckpoint(file: string): string {
  const { base, name } = path.parse(file);
  return base === checkpointName ? path.basename(path.dirname(path.resolve(file))) : name;
}

/** What a file says of its latents. */
export const latentsSchema: z.ZodType<LatentFacts> = z.strictObject({
  scale: z.number().positive().optional(),
  autoencoder: z.string().optional(),
});

const detailsSchema = z.strictObject({
  /** The experiment that made it. */
  experiment: z.string().optional(),
  noise: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('gaussian'), sigma: z.number().positive() }),
      z.strictObject({ kind: z.literal('uniform') }),
    ])
    .optional(),
  dataset: z.string().optional(),
  /** How `openDataset` opens it again, where that is not by its name. */
  place: z.string().optional(),
  /** The split of it that the model was trained on; older files do not say. */
  split: z.string().optional(),
  /** What the labels stand for. */
  classNames: z.array(z.string()).optional(),
  /** What made the states of captions, as `openTextEncoder` takes it, and the SHA-256 of its weights. */
  textEncoder: z.strictObject({ name: z.string(), weights: z.string() }).optional(),
  /** Of a model of latents: what these were multiplied by, and the SHA-256 of their autoencoder. */
  latents: latentsSchema.optional(),
  seed: z.number().optional(),
  /** Training steps behind it. */
  steps: z.number().optional(),
});

/** What shapes cannot tell of a trained model; kept as JSON in the checkpoint's metadata. */
export type CheckpointDetails = z.infer<typeof detailsSchema>;

export type { StoredPrecision };

const kind: FileKind = {
  format: 'tarflow',
  earlier: ['tarflow classifier'],
  version: 1,
  what: 'a checkpoint',
};

/** What `format` says in files that other libraries wrote: which one did. */
const foreign: readonly (string | undefined)[] = [undefined, 'pt', 'np', 'tf', 'flax', 'mlx'];

/**
 * Writes a model as safetensors under the published names, whole or not at all.
 *
 * @param precision of the parameters; buffers stay F32
 * @throws UserError where the file cannot be written
 *
 * @example
 * ```ts
 * import { createModel, saveCheckpoint, startEngine } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * await saveCheckpoint(flow, 'fresh.safetensors', { classNames: ['cat', 'dog'], seed: 1 });
 * ```
 */
export async function saveCheckpoint(
  model: Model,
  file: string,
  details: CheckpointDetails = {},
  precision: StoredPrecision = 'F32',
): Promise<void> {
  const tensors: Record<string, TensorSource> = {};
  for (const [name, tensor] of Object.entries(stateDict(model))) {
    tensors[name] = tensorSource(tensor, name in model.buffers ? 'F32' : precision);
  }
  await writeSafetensors(file, tensors, checkpointMetadata(model.config, details));
}

/** What the metadata of a checkpoint say of its model. */
export function checkpointMetadata(
  config: ModelConfig,
  details: CheckpointDetails,
): Record<string, string> {
  return {
    ...kindMetadata(kind),
    config: JSON.stringify(config),
    details: JSON.stringify(details),
  };
}

/** Whether a file is a state dict that other libraries wrote, which does not say what model it holds. */
export function isForeign({ metadata }: SafetensorsFile): boolean {
  return metadata.config === undefined && foreign.includes(metadata.format);
}

/**
 * What an open checkpoint says of its training. It is of our own kind, or of another library's.
 * @throws UserError for a file of another kind or of a newer version, and for damaged metadata
 */
export function checkpointDetails(file: SafetensorsFile): CheckpointDetails {
  const { metadata } = file;
  if (!foreign.includes(metadata.format)) {
    checkKind(file.path, metadata, kind, 'Take the checkpoint.safetensors of a training run');
  }
  return metadata.details === undefined ? {} : checkedMetadata(file, 'details', detailsSchema);
}

/**
 * An entry of a file's metadata, which is JSON.
 * @throws UserError where it does not fit the schema
 */
export function checkedMetadata<T>(
  { path: file, metadata }: SafetensorsFile,
  name: string,
  schema: z.ZodType<T>,
): T {
  return checkedJson(
    schema,
    metadata[name] ?? '',
    `${file}: the metadata '${name}'`,
    'The file is damaged, or not one of ours; take it anew',
  );
}
