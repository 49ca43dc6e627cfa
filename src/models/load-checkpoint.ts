import { z } from 'zod';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { checkedValue } from '../core/schema.js';
import { disposeTree, type Tree } from '../core/tree.js';
import type { Family, Model, ModelConfig } from '../flow/model.js';
import { modelOfState, publishedConfig } from '../flow/state-dict.js';
import { readLeaves } from '../formats/leaves.js';
import { jsonOf } from '../formats/metadata.js';
import { type TensorFile, withTensorFile } from '../formats/tensor-file.js';
import {
  type CheckpointDetails,
  checkedMetadata,
  checkpointDetails,
  checkpointFile,
} from '../training/checkpoint.js';
import { type Classifier, classifier } from './classifier/family.js';
import { familyOf, kinds } from './registry.js';
import { unwrapped } from './unwrapped.js';

/** A model from a file, with what the file tells of it. */
export type LoadedModel<M extends Model = Model> = M & { details: CheckpointDetails };

/** What a file may not say. */
export interface LoadOptions {
  /** Channels of the images, default 3; of a STARFlow's latents, by default the numbers of a token. */
  imageChannels?: number;
  /** Width of an attention head; default 64. */
  headWidth?: number;
  /** Side of the square images of an autoencoder; default 256. It takes others, too. */
  imageSide?: number;
  /**
   * Another size of images than the file's, in pixels, or in places of latents: of a STARFlow, whose
   * positions come from the grid of tokens and are scaled to that of its training, and of an autoencoder.
   * No weight depends on it. The grid need not be square. Default: the size of the training.
   */
  imageSize?: { height: number; width: number };
}

/**
 * Reads a model from a file: safetensors, ours or a published state dict under its own names, or a
 * state dict of PyTorch's (`.pth`), which is read as data and executes nothing; a prefix of its names, as
 * `module.`, is taken away, which a warning tells. Starts the engine if none runs.
 *
 * @param path the file, or the folder of a run for that of its last saved step
 * @param options what a published state dict does not say; `imageSize` for images of another size than
 *   the training's; and `family` to refuse another kind: the result has its type then
 * @returns a model that the caller frees with `disposeModel`
 * @throws UserError that names what is missing, damaged or does not fit, such as an `imageSize` whose sides
 *   the patches do not divide, or another `imageSize` for a TarFlow, whose size is fixed
 *
 * @example
 * ```ts
 * import { createModel, loadCheckpoint, saveCheckpoint, startEngine, tarflow } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * await saveCheckpoint(flow, 'fresh.safetensors', { classNames: ['cat', 'dog'] });
 * const loaded = await loadCheckpoint('fresh.safetensors', { family: tarflow });
 * console.log(loaded.config.patchSize, loaded.details.classNames); // 2 [ 'cat', 'dog' ]
 * ```
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
  return withTensorFile(checkpointFile(path), (file) => readCheckpoint(file, known, expected));
}

/** `loadCheckpoint` of a file that is open, which stays so. */
export async function readCheckpoint(
  opened: TensorFile,
  known: LoadOptions = {},
  expected?: Family,
): Promise<LoadedModel> {
  const file = unwrapped(opened);
  const { path } = file;
  const { family, config: written, details } = readDescription(file, known, expected);
  const config = resized(family, written, known.imageSize, path);
  if (expected && family.kind !== expected.kind) {
    throw new UserError(
      `${path} holds a model of kind '${family.kind}'`,
      `Expected one of kind '${expected.kind}'`,
    );
  }
  const foreign = file.metadata.config === undefined;
  if (foreign) tellLicence(family);
  const state = renamed(family, foreign, await readLeaves(file));
  try {
    return { ...modelOfState(family, config, state, path), details };
  } finally {
    disposeTree(state);
  }
}

/** Families whose licence was shown. */
const licencesShown = new Set<string>();

function tellLicence({ kind, published }: Family): void {
  if (!published?.licence || licencesShown.has(kind)) return;
  licencesShown.add(kind);
  process.emitWarning(published.licence, { type: 'TarflowWarning' });
}

/** What the first files held, which do not say it. */
const firstKinds: Record<string, string> = { 'tarflow classifier': 'classifier' };

/** What an open checkpoint says of its model, checked; no numbers are read. */
export function readDescription(
  opened: TensorFile,
  known: LoadOptions = {},
  expected?: Family,
): { family: Family; config: ModelConfig; details: CheckpointDetails } {
  const file = unwrapped(opened);
  const { path, metadata, tensors } = file;
  const details = checkpointDetails(file);
  if (metadata.config === undefined) {
    checkNoSamples(file);
    if (expected && !expected.published) {
      throw new UserError(
        `${path} does not say what model it holds`,
        `Expected a checkpoint of kind '${expected.kind}'`,
      );
    }
    const family = publishedFamily(tensors);
    const config = publishedConfig(family, renamed(family, true, tensors), path, known);
    return { family, config: fitting(family, config, path), details };
  }
  const written = checkedMetadata(
    file,
    'config',
    z.looseObject({ kind: z.string().default(firstKinds[metadata.format ?? ''] ?? 'tarflow') }),
  );
  const family = familyOf(written.kind);
  const remedy = 'The file is damaged, or not one of ours; take it anew';
  const config = checkedValue(family.schema, written, `${path}: the metadata 'config'`, remedy);
  return { family, config: fitting(family, config, path), details };
}

/** @throws UserError where a file holds samples or latents, with the model that drew them where it says so */
function checkNoSamples({ path, metadata, tensors }: TensorFile): void {
  if (!tensors.images) return;
  const drawn = jsonOf(z.object({ checkpoint: z.string() }), metadata.samples);
  throw new UserError(
    `${path} holds images (samples or latents), and no model`,
    `Name a model${drawn ? `: they were drawn by ${drawn.checkpoint}` : ''}`,
  );
}

/** A configuration for images of another size, where its family takes them; an error names the file. */
function resized(
  family: Family,
  config: ModelConfig,
  size: LoadOptions['imageSize'],
  path: string,
): ModelConfig {
  const { image } = config;
  if (!size || (size.height === image.height && size.width === image.width)) return config;
  const { height, width } = size;
  if (![height, width].every((side) => Number.isInteger(side) && side > 0)) {
    throw new UserError(
      `The size asked for is ${height}×${width} (height × width)`,
      'Expected two whole numbers above 0',
    );
  }
  const { trainingFields = [] } = family;
  if (!['image.height', 'image.width'].every((field) => trainingFields.includes(field))) {
    throw new UserError(
      `${path} holds a model of kind '${family.kind}', which takes images of ${image.height}×${image.width} alone`,
      'Ask for no other size: a STARFlow or an autoencoder takes other ones',
    );
  }
  const remedy = `Ask for another size; that of the training is ${image.height}×${image.width}`;
  return fitting(family, { ...config, image: { ...image, height, width } }, path, remedy);
}

/** The family whose mark a state dict has, or else the first one, which says what it lacks. */
function publishedFamily(tensors: TensorFile['tensors']): Family {
  const marked = (kind: string) => Object.hasOwn(tensors, familyOf(kind).published?.mark ?? '');
  return familyOf(kinds.find(marked) ?? 'tarflow');
}

/** What a file holds, by today's names where others published it. */
export function renamed<T>(
  { published }: Family,
  foreign: boolean,
  found: Record<string, T>,
): Record<string, T> {
  if (!foreign || !published?.renamed) return found;
  return Object.fromEntries(
    Object.entries(found).map(([name, tensor]) => [published.renamed?.(name) ?? name, tensor]),
  );
}

/** Checks a configuration as its family does; an error names the file. */
function fitting(family: Family, config: ModelConfig, path: string, remedy?: string): ModelConfig {
  try {
    return family.check(config);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${path}: ${error.problem}`, remedy ?? error.remedy);
  }
}

/**
 * Reads a classifier that `saveCheckpoint` wrote. Starts the engine if none runs.
 *
 * @returns a classifier that the caller frees with `disposeClassifier`
 * @throws UserError where the file cannot be read, or holds something else
 */
export async function loadClassifier(path: string): Promise<Classifier> {
  return loadCheckpoint(path, { family: classifier });
}
