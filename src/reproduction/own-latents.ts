import * as path from 'node:path';
import {
  type DataSource,
  latentScale,
  openDataset,
  openLatents,
  type Split,
  writeLatents,
} from '../data/index.js';
import { weightsDigest } from '../evaluation/test-readings.js';
import { disposeModel } from '../flow/flow.js';
import { fileDigest } from '../formats/tensor-file.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import type { LatentsOf } from '../papers/index.js';
import { encodeDataset } from '../sampling/encode-dataset.js';
import type { LatentDecoder } from './bench.js';
import type { ReproduceOptions } from './reproduce-options.js';

type Where = Pick<ReproduceOptions, 'checkpoints' | 'out' | 'onProgress' | 'signal' | 'mode'>;

/**
 * Latents of a split of images by a committed autoencoder. They are made once and kept below `out`;
 * those of a checkpoint that has become another are made again. The training split goes first: the
 * others are scaled as it is.
 */
export async function openOwnLatents(
  of: LatentsOf,
  split: Split,
  where: Where,
): Promise<DataSource> {
  const file = latentsFile(of, split, where);
  const checkpoint = checkpointOf(of, where);
  const digest = await fileDigest(checkpoint);
  const kept = await openLatents(file, split).catch(() => undefined);
  if (kept && kept.latents?.autoencoder === digest) return kept;
  const { mode, signal, onProgress } = where;
  const images = await openDataset(of.images, split);
  const autoencoder = await loadCheckpoint(checkpoint);
  try {
    const scale =
      split === 'train' ? undefined : await latentScale(latentsFile(of, 'train', where));
    const set = await encodeDataset(autoencoder, images, {
      ...{ scale, ...(mode && { mode }), ...(signal && { signal }) },
      onProgress: (done) => onProgress?.(done / images.length, `latents of ${split}`),
    });
    await writeLatents(file, set, { autoencoder: digest });
  } finally {
    disposeModel(autoencoder);
  }
  return openLatents(file, split);
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
