import { createHash } from 'node:crypto';
import { currentEngine } from '../../src/core/engine.js';
import type { MeasureName } from '../papers/index.js';
import type { LatentDecoder, Splits } from './bench.js';
import type { Basis } from './kept-figures.js';
import type { Recipe } from './recipe.js';
import type { ReproduceOptions } from './reproduce-options.js';

/**
 * What a figure depends on beside the weights, by its measure.
 * @param decoder where latents are modelled
 */
export function basisOf(
  measure: MeasureName,
  { sampling, latents }: Recipe,
  { train, validation }: Splits,
  options: ReproduceOptions,
  decoder?: Pick<LatentDecoder, 'digest' | 'scale'>,
): Basis {
  const { samples, batch, seed, repeats, images, mode } = options;
  const data = {
    folder: options.folder ?? null,
    data: [train.name, train.length, validation.length],
  };
  const { network, statistics } = options;
  const distance = {
    ...{ network, samples, seed, sampling, statistics: statistics ?? null },
    ...(decoder && { autoencoder: [decoder.digest, decoder.scale] }),
    ...(latents && { realImages: latents.images }),
  };
  const { engine, version, device, gpu } = currentEngine();
  const timed = { batch, repeats, seed, sampling, mode, machine: [engine, version, device, gpu] };
  switch (measure) {
    case 'bits per dimension':
      return { ...data, seed, images: images ?? null };
    case 'FID':
    case 'best σ':
    case 'correlation of loss and FID':
      return { ...data, ...distance };
    case 'share of CRM':
      return data;
    case 'held-out loss':
      // What was kept before it was told is read from the log anew.
      return { ...data, tells: 'convergence' };
    default:
      return { ...data, ...timed };
  }
}

/** Eight characters that tell apart what things depend on, for the names of files. */
export function basisDigest(basis: Basis): string {
  return createHash('sha256').update(JSON.stringify(basis)).digest('hex').slice(0, 8);
}
