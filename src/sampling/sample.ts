import { type NamedContext, numbered } from '../conditions/context.js';
import type { ExecutionOptions } from '../core/engine.js';
import { checkCount, counted, UserError } from '../core/errors.js';
import { foldIn, normal, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import type { Model } from '../flow/model.js';
import { ability } from '../flow/model.js';
import { checkGuided, partContext } from './check-guidance.js';
import { checkDenoising, denoised } from './denoise.js';
import type { Guidance } from './guidance.js';
import { type InverseOptions, inverse } from './inverse.js';

/** One label for all, or one per sample, as numbers or names; captions' states one per sample. */
export interface SampleOptions extends ExecutionOptions, NamedContext {
  guidance?: Guidance | undefined;
  count: number;
  /** How blocks are solved, and what came of it; see `inverse`. */
  solver?: InverseOptions['solver'];
  onTrace?: InverseOptions['onTrace'];
  /** Same seed, same samples; each sample's noise depends on its number alone. Default 0. */
  seed?: number;
  /** The number of the first sample, so that many can be drawn in parts. Default 0. */
  from?: number;
  /**
   * What the prior's noise is multiplied by: below 1 samples are less varied (Kingma and Dhariwal
   * 2018, arXiv 1807.03039, call it temperature). In a flow whose volume changes this is not its
   * density to a power. Default 1, the model's own distribution.
   */
  priorTemperature?: number;
  /** Samples inverted together. Default 64. */
  batchSize?: number;
  /** One denoising step for the noise of training: σ and λ. Default none. */
  denoise?: { sigma: number; multiplier?: number };
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
  signal?: AbortSignal;
}

/**
 * Draws images from a flow: standard normal noise, times the prior's standard deviation, through `inverse`
 * or, in a family without blocks, as that makes them.
 *
 * @returns images (count, channels, height, width), not clipped; the caller frees them
 * @throws UserError for a count or a batch size below 1, a temperature below 0, another number of
 *   labels, a solver or guidance for a family without blocks, guidance that would change nothing (see
 *   `Guidance`), and as `inverse` and `denoise` do
 *
 * @example
 * ```ts
 * import { createModel, sample, saveImageGrid, startEngine } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const images = await sample(flow, { count: 4, label: 1, seed: 7 });
 * await saveImageGrid(images, 'four.png');
 * ```
 */
export async function sample(flow: Model, asked: SampleOptions): Promise<tf.Tensor4D> {
  const options = numbered(flow, asked);
  const { count, label, text, solver, seed = 0, from = 0, batchSize = 64 } = options;
  const { priorTemperature = 1, onProgress, onTrace, signal, mode, precision } = options;
  checkCount('The number of samples', count);
  checkCount('The batch size', batchSize);
  checkPriorTemperature(priorTemperature);
  if (label !== undefined && typeof label !== 'number' && label.length !== count) {
    throw new UserError(
      `${counted(label.length, 'label')} came for ${counted(count, 'sample')}`,
      'Give one for each',
    );
  }
  if (text && text.shape[0] !== count) {
    throw new UserError(
      `${counted(text.shape[0], 'caption')} came for ${counted(count, 'sample')}`,
      'Give one for each',
    );
  }
  if (options.denoise) checkDenoising(flow, options.denoise);
  if (flow.family.blocks) checkGuided(flow, options);
  const parts: tf.Tensor4D[] = [];
  /** What is freed after each part. */
  let made: tf.Tensor[] = [];
  try {
    for (let first = 0; first < count; first += batchSize) {
      const size = Math.min(batchSize, count - first);
      const { guidance, ...context } = partContext(flow, options, first, size);
      const noise = sampleNoise(flow, seed, from + first, size, priorTemperature);
      made = [noise, ...(context.text ? [context.text] : [])];
      let images = await inverse(flow, noise, {
        ...context,
        guidance,
        solver,
        mode,
        precision,
        onTrace,
        signal,
        onProgress: ({ done, total }) => onProgress?.((first + (size * done) / total) / count),
      });
      if (options.denoise) {
        made.push(images);
        images = denoised(flow, images, { ...options.denoise, ...context, mode, precision });
      }
      parts.push(images);
      tf.dispose(made);
    }
    return tf.concat(parts, 0);
  } finally {
    tf.dispose([parts, made]);
  }
}

/** @throws UserError where it is below 0 or no number */
export function checkPriorTemperature(temperature: number): void {
  if (Number.isFinite(temperature) && temperature >= 0) return;
  throw new UserError(
    `The temperature of the prior is ${temperature}`,
    'Expected a number from 0, 1 for the distribution of the model',
  );
}

/**
 * The noise of samples `first` … `first + count − 1` of a seed: standard normal numbers times the prior's
 * standard deviation and the prior's temperature. Sample i is the same whatever the batch.
 *
 * @returns (count, T, D); the caller frees it
 * @throws UserError for a model that makes no samples, and for a seed that is no whole number
 */
export function sampleNoise(
  flow: Model,
  seed: number,
  first: number,
  count: number,
  priorTemperature = 1,
): tf.Tensor3D {
  const prior = ability(flow.family, 'prior');
  const [tokens, width] = prior.shape(flow.config);
  const size = tokens * width;
  const key = foldIn(randomKey(seed), 'sample');
  const values = new Float32Array(count * size);
  for (let i = 0; i < count; i++) values.set(normal(foldIn(key, first + i), size), i * size);
  return tidy(() => {
    const drawn = tf.tensor3d(values, [count, tokens, width]);
    const variance = prior.variance?.(flow);
    const noise = variance ? tf.mul(drawn, tf.sqrt(variance)) : drawn;
    return priorTemperature === 1 ? noise : tf.mul(noise, priorTemperature);
  });
}
