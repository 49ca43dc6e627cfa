import { callCompiled, type Mode } from '@tarflow/graph';
import { modeOf } from '../core/engine.js';
import { at, checkCount, checkGiven, UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import type { ImageSize } from '../data/source.js';
import type { Model, Posterior } from '../flow/model.js';
import { ability, checkPixelRange } from '../flow/model.js';
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
 * @throws UserError where the model is no autoencoder, the images do not fit it or are far from [−1, 1], or
 *   the batch size is no whole number above 0; the signal's reason where it stops the computation
 *
 * @example
 * ```ts
 * import { createModel, decode, encode, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const size = { channels: [16, 32], resnetsPerLevel: 1, groups: 8, latentChannels: 4 };
 * const loss = { trained: 'all', kl: 1e-6, squares: 1, features: 0 } as const;
 * const image = { channels: 3, height: 32, width: 32 };
 * const config = { kind: 'vae', image, classes: 0, ...size, midAttention: false, loss } as const;
 * const autoencoder = createModel(config, 1);
 * const { mean } = await encode(autoencoder, tf.zeros([2, 3, 32, 32]));
 * const images = await decode(autoencoder, mean);
 * console.log(mean.shape, images.shape); // [ 2, 4, 16, 16 ] [ 2, 3, 32, 32 ]
 * ```
 */
export async function encode(
  model: Model,
  images: tf.Tensor4D,
  options: AutoencodeOptions = {},
): Promise<Posterior> {
  checkGiven('The model', model, 'family');
  const found = ability(model.family, 'autoencoder');
  const image = sizeOf(images, 'Images');
  found.latents(model.config, image);
  checkPixelRange({ image }, await images.data<'float32'>());
  const encoded = (own: Model, part: tf.Tensor4D) => ({ ...found.encode(own, part) });
  return inBatches(
    'encode',
    model,
    images,
    found.activation(model.config, image),
    options,
    encoded,
  );
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
 *
 * await startEngine();
 * const size = { channels: [16, 32], resnetsPerLevel: 1, groups: 8, latentChannels: 4 };
 * const loss = { trained: 'all', kl: 1e-6, squares: 1, features: 0 } as const;
 * const image = { channels: 3, height: 32, width: 32 };
 * const config = { kind: 'vae', image, classes: 0, ...size, midAttention: false, loss } as const;
 * const images = await decode(createModel(config, 1), tf.randomNormal([1, 4, 16, 16]));
 * console.log(images.shape); // [ 1, 3, 32, 32 ]
 * ```
 */
export async function decode(
  model: Model,
  latents: tf.Tensor4D,
  options: AutoencodeOptions = {},
): Promise<tf.Tensor4D> {
  checkGiven('The model', model, 'family');
  const found = ability(model.family, 'autoencoder');
  const size = found.images(model.config, sizeOf(latents, 'Latents'));
  const decoded = (own: Model, part: tf.Tensor4D) => ({ images: found.decode(own, part) });
  const activation = found.activation(model.config, size);
  return (await inBatches('decode', model, latents, activation, options, decoded)).images;
}

function sizeOf(samples: tf.Tensor4D, what: string): ImageSize {
  checkGiven(`What stands for ${what.toLowerCase()}`, samples, 'shape', 'dtype');
  const [count, channels, height, width] = samples.shape;
  if (samples.rank === 4 && count > 0) return { channels, height, width };
  throw new UserError(
    `${what} of shape (${samples.shape.join(', ')}) came`,
    'Expected (count, channels, height, width), and one or more of them',
  );
}

/** What a function of the model makes of the samples batch by batch, joined; the caller frees it. */
async function inBatches<R extends Record<string, tf.Tensor4D>>(
  name: string,
  model: Model,
  samples: tf.Tensor4D,
  activation: number,
  options: AutoencodeOptions,
  f: (model: Model, part: tf.Tensor4D) => R,
): Promise<R> {
  const { onProgress, signal } = options;
  const { batchSize = Math.max(1, Math.min(64, Math.floor(activationLimit / activation))) } =
    options;
  checkCount('batchSize', batchSize);
  const mode = modeOf(options);
  const [count, ...size] = samples.shape;
  const parts: R[] = [];
  try {
    for (let first = 0; first < count; first += batchSize) {
      signal?.throwIfAborted();
      const taken = Math.min(batchSize, count - first);
      const made = tidy(() =>
        callCompiled({
          name,
          description: model.config,
          parameters: stateDict(model),
          inputs: { samples: tf.slice(samples, [first, 0, 0, 0], [taken, ...size]) },
          body: (parameters, inputs) => f(withStateDict(model, parameters), inputs.samples),
          mode,
        }),
      );
      parts.push(made);
      onProgress?.((first + taken) / count);
      // Let timers, signals and progress bars in.
      await new Promise(setImmediate);
    }
    const joined = Object.keys(at(parts, 0)).map((key) => [
      key,
      tf.concat(parts.map((part) => part[key] as tf.Tensor4D)),
    ]);
    return Object.fromEntries(joined);
  } finally {
    tf.dispose(parts);
  }
}
