import { createHash } from 'node:crypto';
import * as path from 'node:path';
import {
  type DataSource,
  latentScale,
  openLatents,
  type Split,
  writeLatents,
} from '../../src/data/index.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import { disposeModel } from '../../src/flow/flow.js';
import { openSafetensors } from '../../src/formats/safetensors.js';
import { fileDigest } from '../../src/formats/tensor-file.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { encodeDataset } from '../../src/sampling/encode-dataset.js';
import type { LatentsOf } from '../papers/index.js';
import type { LatentDecoder } from './bench.js';
import type { ReproduceOptions } from './reproduce-options.js';

type Where = Pick<ReproduceOptions, 'checkpoints' | 'out' | 'onProgress' | 'signal' | 'mode'>;

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
      ...{ scale, ...(mode && { mode }), ...(signal && { signal }) },
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
  const first = Array.from({ length: Math.min(8, images.length) }, (_, i) => i);
  const { values } = await images.read(first);
  const bytes = [values, images.labels].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return createHash('sha256').update(Buffer.concat(bytes)).digest('hex');
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
