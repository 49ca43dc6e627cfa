import * as path from 'node:path';
import { z } from 'zod';
import { readBytes } from '../../src/core/files.js';
import { tf, UserError } from '../../src/core/index.js';
import { modelOfState } from '../../src/flow/state-dict.js';
import { type HostTensor, readSafetensors } from '../../src/formats/safetensors.js';
import { type TarFlow, type TarFlowConfig, tarflow } from '../../src/models/index.js';

/** What every golden file's JSON has; the rules are read one by one, since weights have none. */
export const goldenSchema = z.object({
  kind: z.string(),
  tensors: z.record(
    z.string(),
    z.looseObject({
      role: z.enum(['weight', 'input', 'output']),
      shape: z.array(z.number()),
      against: z.string().optional(),
    }),
  ),
});

/** The published code's names of a TarFlow's configuration. */
const configSchema = goldenSchema.extend({
  config: z.object({
    in_channels: z.number(),
    img_size: z.number(),
    patch_size: z.number(),
    channels: z.number(),
    head_dim: z.number(),
    num_blocks: z.number(),
    layers_per_block: z.number(),
    num_classes: z.number(),
    nvp: z.boolean(),
  }),
});

/** A golden file: tensors that the published code computed, and the JSON that describes them. */
export interface GoldenFile {
  path: string;
  /** The JSON's path, and what it says. */
  beside: string;
  json: unknown;
  description: z.infer<typeof goldenSchema>;
  tensors: Record<string, HostTensor>;
}

/**
 * Reads a golden file and the JSON beside it.
 * @throws UserError for a file that is missing or damaged
 */
export async function readGolden(file: string): Promise<GoldenFile> {
  if (!file.endsWith('.safetensors')) {
    throw new UserError(`The golden file is ${file}`, 'Expected a name that ends in .safetensors');
  }
  const { tensors } = await readSafetensors(file);
  const beside = file.replace(/\.safetensors$/, '.json');
  const json = await readJson(beside);
  return { path: file, beside, json, description: parsed(goldenSchema, json, beside), tensors };
}

/** Another golden file in the same folder. */
export function readGoldenBeside(golden: GoldenFile, name: string): Promise<GoldenFile> {
  return readGolden(path.join(path.dirname(golden.path), path.basename(name)));
}

/** What a file's JSON says, in the form that its kind has. */
export function described<T>(golden: GoldenFile, schema: z.ZodType<T>): T {
  return parsed(schema, golden.json, golden.beside);
}

/** The configuration of the TarFlow in a golden file. */
export function goldenConfig(golden: GoldenFile): TarFlowConfig {
  const published = described(golden, configSchema).config;
  return {
    kind: 'tarflow',
    image: {
      channels: published.in_channels,
      height: published.img_size,
      width: published.img_size,
    },
    patchSize: published.patch_size,
    channels: published.channels,
    blocks: published.num_blocks,
    layersPerBlock: published.layers_per_block,
    headWidth: published.head_dim,
    classes: published.num_classes,
    volumePreserving: !published.nvp,
  };
}

/** The TarFlow whose weights a golden file holds; the caller frees it. */
export function goldenFlow(golden: GoldenFile): TarFlow {
  return modelOfState(tarflow, goldenConfig(golden), goldenState(golden), golden.path);
}

/** The state dict in a golden file. */
export function goldenState(golden: GoldenFile): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(golden.tensors)
      .filter(([name]) => name.startsWith('sd.'))
      .map(([name, tensor]) => [name.slice(3), tensor]),
  );
}

/** An input of a golden file. */
export function goldenInput(golden: GoldenFile, name: string): HostTensor {
  const tensor = golden.tensors[name];
  if (!tensor) {
    throw new UserError(`${golden.path} lacks the input ${name}`, 'Take a complete file');
  }
  return tensor;
}

/** An input of a golden file as a tensor of the rank that it has there. */
export function goldenTensor<T extends tf.Tensor = tf.Tensor>(golden: GoldenFile, name: string): T {
  const { data, shape } = goldenInput(golden, name);
  return tf.tensor(Float32Array.from(data), shape) as T;
}

/** What was computed to compare with a golden file's outputs, by their names. */
export type Results = Record<string, ArrayLike<number>>;

const damaged = 'It is damaged: take the golden file and its JSON anew';

async function readJson(file: string): Promise<unknown> {
  const text = Buffer.from(await readBytes(file)).toString('utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file} is not JSON (${error})`, damaged);
  }
}

function parsed<T>(schema: z.ZodType<T>, json: unknown, file: string): T {
  const { data, error } = schema.safeParse(json);
  if (!error) return data;
  const [issue] = error.issues;
  const what = [...(issue?.path ?? []).map(String), issue?.message].join(': ');
  throw new UserError(`${file} does not describe a golden file (${what})`, damaged);
}
