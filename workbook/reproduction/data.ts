import { createHash } from 'node:crypto';
import * as path from 'node:path';
import { UserError } from '../../src/core/errors.js';
import {
  type DataSource,
  latentScale,
  openDataset,
  openLatents,
  type Split,
  writeLatents,
} from '../../src/data/index.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import { ability } from '../../src/flow/model.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { openSafetensors } from '../../src/formats/safetensors.js';
import { fileDigest } from '../../src/formats/tensor-file.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { encodeDataset } from '../../src/sampling/encode-dataset.js';
import { findExperiment } from '../experiments/index.js';
import type { LatentsOf } from '../papers/index.js';
import type { LatentDecoder, ReproduceOptions } from './options.js';
import { type Recipe, readsNoisyLatents } from './recipe.js';

/** The splits of a row's data. The test split is opened by `openTestSplit` alone. */
export interface Splits {
  train: DataSource;
  validation: DataSource;
}

/** Where latents are kept, and how they are made. */
type Where = Pick<ReproduceOptions, 'checkpoints' | 'out' | 'onProgress' | 'signal' | 'mode'>;

/** How data are opened. */
type OpeningOptions = Where & Pick<ReproduceOptions, 'data' | 'open'>;

/**
 * One split of a row's data; latents that are made here are made first.
 * @throws UserError where they are not there, or their folder is not given
 */
export async function openSplit(
  recipe: Recipe,
  split: Split,
  options: OpeningOptions,
): Promise<DataSource> {
  const { row, dataset, needsFolder, image, latents } = recipe;
  const { data: folder, open } = options;
  if (open) return open(recipe, split);
  if (latents) {
    const images = await openSplit(imagesOfLatents(recipe), split, options);
    return openOwnLatents(latents, images, options);
  }
  if (!needsFolder) return openDataset(dataset, split, { image });
  if (folder !== undefined) return openDataset(`${dataset}:${folder}`, split, { image });
  throw new UserError(
    `${row} needs the data set ${dataset}`,
    dataset === 'latents'
      ? 'Give a folder with latents of every split, written by `tarflow encode`, by --data'
      : 'Give its folder by --data',
  );
}

/** The images that a row's latents are made of, opened as the data of a recipe. */
export function imagesOfLatents({ latents, ...recipe }: Recipe): Recipe {
  if (!latents) return recipe;
  const { image } = findExperiment(latents.autoencoder).config;
  return { ...recipe, dataset: latents.images, image };
}

/** The splits that a row is trained on and chosen by. */
export async function openSplits(recipe: Recipe, options: OpeningOptions): Promise<Splits> {
  return {
    train: await openSplit(recipe, 'train', options),
    validation: await openSplit(recipe, 'validation', options),
  };
}

/**
 * What decodes the latents of a row.
 * @throws UserError where it is not given, or does not fit
 */
export async function openDecoder(
  recipe: Recipe,
  options: Pick<ReproduceOptions, 'openDecoder' | 'checkpoints' | 'out'>,
): Promise<LatentDecoder> {
  const { latents, row } = recipe;
  if (!options.openDecoder && latents) return openOwnDecoder(latents, options);
  if (!options.openDecoder) {
    throw new UserError(
      `${row} makes latents`,
      'Give the autoencoder that made its data by --autoencoder',
    );
  }
  const decoder = await options.openDecoder(recipe);
  try {
    checkDecoder(recipe, decoder);
    return decoder;
  } catch (error) {
    disposeModel(decoder.autoencoder);
    throw error;
  }
}

/** Checks that a decoder takes the latents of a row, and their noise as the row leaves it. */
function checkDecoder(recipe: Recipe, { autoencoder: { family, config } }: LatentDecoder): void {
  const { images, latentNoise } = ability(family, 'autoencoder');
  images(config, recipe.image);
  const takesNoise = latentNoise?.(config) !== undefined;
  if (takesNoise === readsNoisyLatents(recipe)) return;
  throw takesNoise
    ? new UserError(
        `The decoder takes the noise of latents away, and ${recipe.row} is denoised by its score`,
        'Give an autoencoder that was trained without latentNoise, or choose another row by --row',
      )
    : new UserError(
        `${recipe.row} leaves the noise of its latents to the decoder, and this one reads none`,
        'Give an autoencoder whose decoder went on with latentNoise, as emoji-vae-noisy does, or ' +
          'choose by --row one that is denoised by its score',
      );
}

/**
 * Latents of images by a committed autoencoder. They are made once and kept below `out`; those of a
 * checkpoint or of images that have become others are made again. The training split goes first: the
 * others are scaled as it is.
 */
export async function openOwnLatents(
  of: LatentsOf,
  images: DataSource,
  where: Where,
): Promise<DataSource> {
  const { split } = images;
  const file = latentsFile(of, split, where);
  const checkpoint = checkpointOf(of, where);
  const made = { autoencoder: await fileDigest(checkpoint), images: await imagesDigest(images) };
  // Other splits are scaled as that of training, whose scale may have become another.
  const scale = split === 'train' ? undefined : await latentScale(latentsFile(of, 'train', where));
  const kept = await madeOf(file);
  const isSame = kept?.autoencoder === made.autoencoder && kept.images === made.images;
  if (isSame && (scale === undefined || kept.scale === String(scale))) {
    return openLatents(file, split);
  }
  const { mode, signal, onProgress } = where;
  const autoencoder = await loadCheckpoint(checkpoint);
  try {
    const set = await encodeDataset(autoencoder, images, {
      scale,
      mode,
      signal,
      onProgress: (share) => onProgress?.(share, `latents of ${split}`),
    });
    await writeLatents(file, set, made);
  } finally {
    disposeModel(autoencoder);
  }
  return openLatents(file, split);
}

/** What latents of a file were made of; undefined where there are none that can be read. */
async function madeOf(file: string): Promise<Readonly<Record<string, string>> | undefined> {
  try {
    const opened = await openSafetensors(file);
    return opened.close().then(() => opened.metadata);
  } catch {
    return undefined;
  }
}

/** Tells images apart, by all labels and the first pictures. */
async function imagesDigest(images: DataSource): Promise<string> {
  return createHash('sha256')
    .update(await firstOf(images))
    .update(images.labels)
    .digest('hex');
}

/** The values of the first eight samples. */
async function firstOf(data: DataSource) {
  return (await data.read(Array.from({ length: Math.min(8, data.length) }, (_, i) => i))).values;
}

/** What decodes latents that {@link openOwnLatents} made. */
export async function openOwnDecoder(of: LatentsOf, where: Where): Promise<LatentDecoder> {
  const scale = await latentScale(latentsFile(of, 'train', where));
  const autoencoder = await loadCheckpoint(checkpointOf(of, where));
  return { autoencoder, scale, digest: weightsDigest(autoencoder) };
}

function checkpointOf({ autoencoder }: LatentsOf, { checkpoints }: Where): string {
  return path.join(checkpoints, `${autoencoder}.safetensors`);
}

function latentsFile({ images, autoencoder }: LatentsOf, split: Split, { out }: Where): string {
  return path.join(out, 'latents', `${images}-${autoencoder}`, `${split}.safetensors`);
}

/** Eight characters that tell latents apart, by the first of them and how many they are. */
export async function latentsDigest(data: DataSource): Promise<string> {
  const hash = createHash('sha256')
    .update(`${data.length}`)
    .update(await firstOf(data));
  return hash.digest('hex').slice(0, 8);
}
