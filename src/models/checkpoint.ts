import { z } from 'zod';
import { startEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import type { Tree } from '../backend/tree.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import { modelOfState, type StateTensor } from '../flow/state-dict.js';
import { readSafetensors } from '../formats/safetensors.js';
import { type CheckpointDetails, detailsSchema } from '../training/checkpoint.js';
import { familyOf } from './registry.js';

/** A model from a file, with what the file tells of it. */
export type LoadedModel<M extends Model = Model> = M & { details: CheckpointDetails };

/** What a file may not say. */
export interface LoadOptions {
  /** Channels of the images; default 3. */
  imageChannels?: number;
  /** Width of an attention head; default 64. */
  headWidth?: number;
}

/**
 * Reads a model from safetensors: one of ours, or a published state dict under its own names. Starts
 * the engine if none runs.
 *
 * @param options what a published state dict does not say, and `family` to refuse another kind: the
 *   result has its type then
 * @returns a model that the caller frees with `disposeModel`
 * @throws UserError that names what is missing, damaged or does not fit
 */
export async function loadCheckpoint<C extends ModelConfig, P extends Tree>(
  path: string,
  options: LoadOptions & { family: Family<C, P> },
): Promise<LoadedModel<Model<C, P>>>;
export async function loadCheckpoint(path: string, options?: LoadOptions): Promise<LoadedModel>;
export async function loadCheckpoint(
  path: string,
  { family: expected, ...known }: LoadOptions & { family?: Family } = {},
): Promise<LoadedModel> {
  await startEngine();
  const { tensors, metadata } = await readSafetensors(path);
  const { family, config } =
    metadata.config === undefined
      ? publishedModel(tensors, path, known)
      : describedModel(parse(path, 'config', z.looseObject({}), metadata.config), path);
  if (expected && family.kind !== expected.kind) {
    throw new UserError(
      `${path} holds a model of kind '${family.kind}'`,
      `Expected one of kind '${expected.kind}'`,
    );
  }
  try {
    family.check(config);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${path}: ${error.problem}`, error.remedy);
  }
  const details =
    metadata.details === undefined ? {} : parse(path, 'details', detailsSchema, metadata.details);
  return { ...modelOfState(family, config, tensors, path), details };
}

interface Described {
  family: Family;
  config: ModelConfig;
}

/** The first files were all TarFlows, and do not say so. */
const firstKind = 'tarflow';

function describedModel(config: Record<string, unknown>, path: string): Described {
  const { kind = firstKind } = config;
  const family = familyOf(String(kind));
  return { family, config: checked(path, 'config', family.schema, { ...config, kind }) };
}

function publishedModel(
  state: Record<string, StateTensor>,
  path: string,
  known: LoadOptions,
): Described {
  const family = familyOf(firstKind);
  if (!family.published) throw new Error(`Nothing is known of published files of ${firstKind}.`);
  return { family, config: family.published.configOf(state, path, known) };
}

function parse<T>(path: string, name: string, schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unfit(path, name, (error as Error).message);
  }
  return checked(path, name, schema, value);
}

function checked<T>(path: string, name: string, schema: z.ZodType<T>, value: unknown): T {
  const { data, error } = schema.safeParse(value);
  if (!error) return data;
  const [issue] = error.issues;
  throw unfit(path, name, [...(issue?.path ?? []).map(String), issue?.message ?? ''].join(': '));
}

function unfit(path: string, name: string, problem: string): UserError {
  return new UserError(
    `${path}: the metadata '${name}' does not fit (${problem})`,
    'The file is damaged, or not a checkpoint of this project; take it anew',
  );
}
