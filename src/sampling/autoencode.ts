import { callCompiled, type Mode } from '@tarflow/graph';
import { modeOf } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import type { Leaves } from '../core/tree.js';
import type { ImageSize } from '../data/source.js';
import type { Model, Posterior } from '../flow/model.js';
import { ability } from '../flow/model.js';
import { stateDict, withStateDict } from '../flow/state-dict.js';

/** How images become latents, or latents images. */
export interface AutoencodeOptions {
  /** Samples at a time. Default: as many as bound the memory, at most 64. */
  batchSize?: number;
  /** As that of `logProb`: one graph on the native engine, else op by op. */
  mode?: Mode | undefined;
  /** Called after each batch with the share of the samples that are done, 0 to 1. */
  onProgress?: (share: number) => void;
  signal?: AbortSignal;
}

/** So many numbers may be in the largest activation of a batch: 128 MiB. */
const activationLimit = 2 ** 25;

/**
 * The latents of images: of each number its mean and log-variance, on the autoencoder's own scale. On
 * the native engine each batch is one graph, and memory is bounded however many images there are.
 *
 * @param images (count, channels, height, width) in [−1, 1]
 * @returns both (count, latent channels, height/f, width/f), where f is the autoencoder's reduction,
 *   2^(levels − 1); the caller frees them
 * @throws UserError where the model is no autoencoder, the images do not fit it, or the batch size is no
 *   whole number above 0; the signal's reason where it stops the computation
 *
 * @example
 * ```ts
 * import { createModel, decode, encode, startEngine, tf } from 'tarflow';
 * import { findExperiment } from 'tarflow/workbook';
 *
 * await startEngine();
 * const autoencoder = createModel(findExperiment('emoji-vae').config, 1);
 * const { mean } = await encode(autoencoder, tf.zeros([2, 3, 64, 64]));
 * const images = await decode(autoencoder, mean);
 * console.log(mean.shape, images.shape); // [ 2, 8, 16, 16 ] [ 2, 3, 64, 64 ]
 * ```
 */
export async function encode(
  model: Model,
  images: tf.Tensor4D,
  options: AutoencodeOptions = {},
): Promise<Posterior> {
  const found = ability(model.family, 'autoencoder');
  const size = sizeOf(images, 'Images');
  found.latents(model.config, size);
  const activation = found.activation(model.config, size);
  const mode = modeOf(options);
  const parts = await inBatches(images, activation, options, (part) =>
    callCompiled({
      name: 'encode',
      description: model.config,
      parameters: stateDict(model),
      inputs: { images: part },
      body: (parameters, inputs) => ({
        ...found.encode(withStateDict(model, parameters), inputs.images),
      }),
      mode,
    }),
  );
  return { mean: joined(parts, 'mean'), logVariance: joined(parts, 'logVariance') };
}

/**
 * The images of latents, the way back of {@link encode}.
 *
 * @param latents (count, latent channels, height, width), on the autoencoder's own scale
 * @returns images (count, channels, f·height, f·width), about [−1, 1], with f as in {@link encode}; the
 *   caller frees them
 * @throws UserError where the model is no autoencoder, the latents do not fit it, or the batch size is no
 *   whole number above 0; the signal's reason where it stops the computation
 *
 * @example
 * ```ts
 * import { createModel, decode, startEngine, tf } from 'tarflow';
 * import { findExperiment } from 'tarflow/workbook';
 *
 * await startEngine();
 * const autoencoder = createModel(findExperiment('emoji-vae').config, 1);
 * const images = await decode(autoencoder, tf.randomNormal([1, 8, 16, 16]));
 * console.log(images.shape); // [ 1, 3, 64, 64 ]
 * ```
 */
export async function decode(
  model: Model,
  latents: tf.Tensor4D,
  options: AutoencodeOptions = {},
): Promise<tf.Tensor4D> {
  const found = ability(model.family, 'autoencoder');
  const size = found.images(model.config, sizeOf(latents, 'Latents'));
  const activation = found.activation(model.config, size);
  const mode = modeOf(options);
  const parts = await inBatches(latents, activation, options, (part) =>
    callCompiled({
      name: 'decode',
      description: model.config,
      parameters: stateDict(model),
      inputs: { latents: part },
      body: (parameters, inputs) => ({
        images: found.decode(withStateDict(model, parameters), inputs.latents),
      }),
      mode,
    }),
  );
  return joined(parts, 'images');
}

function sizeOf(samples: tf.Tensor4D, what: string): ImageSize {
  const [count, channels, height, width] = samples.shape;
  if (samples.rank === 4 && count > 0) return { channels, height, width };
  throw new UserError(
    `${what} of shape (${samples.shape.join(', ')}) came`,
    'Expected (count, channels, height, width), and one or more of them',
  );
}

/** What `f` makes of each batch; the caller frees it. */
async function inBatches<R extends Leaves>(
  samples: tf.Tensor4D,
  activation: number,
  options: AutoencodeOptions,
  f: (part: tf.Tensor4D) => R,
): Promise<R[]> {
  const { onProgress, signal } = options;
  const { batchSize = Math.max(1, Math.min(64, Math.floor(activationLimit / activation))) } =
    options;
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new UserError(`batchSize is ${batchSize}`, 'Expected a whole number above 0');
  }
  const [count, ...size] = samples.shape;
  const parts: R[] = [];
  try {
    for (let first = 0; first < count; first += batchSize) {
      signal?.throwIfAborted();
      const taken = Math.min(batchSize, count - first);
      parts.push(tidy(() => f(tf.slice(samples, [first, 0, 0, 0], [taken, ...size]))));
      onProgress?.((first + taken) / count);
      // Let timers, signals and progress bars in.
      await new Promise(setImmediate);
    }
    return parts;
  } catch (error) {
    tf.dispose(parts);
    throw error;
  }
}

/** One of the results of all batches; those of the batches are freed. */
function joined<R extends Leaves>(parts: readonly R[], name: keyof R & string): tf.Tensor4D {
  const tensors = parts.map((part) => part[name] as tf.Tensor4D);
  const all = tf.concat(tensors, 0);
  tf.dispose(tensors);
  return all;
}
