import type { NamedContext } from '../conditions/context.js';
import type { ExecutionOptions } from '../core/engine.js';
import { checkGiven, UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { scoreOf } from '../flow/density.js';
import { checkPixels, type Model } from '../flow/model.js';

/** The step uses p(x | label) or p(x | text), without guidance. */
export interface DenoiseOptions extends ExecutionOptions, NamedContext {
  /**
   * Standard deviation of the noise that the model was trained with, on the scale [−1, 1] of the images
   * (of latents, on their own).
   */
  sigma: number;
  /** λ, multiplies the step: above 0; the papers tune it between 0.9 and 1.4. Default 1. */
  multiplier?: number;
}

/**
 * One denoising step by Tweedie's formula, x + λσ²·∇ log p(x): the mean of the clean image given
 * the noisy one (TarFlow, section 3.3). No training, one backward pass.
 *
 * @param x noisy images (batch, channels, height, width)
 * @returns cleaned images of the same shape, not clipped; the caller frees them
 * @throws UserError where sigma or the multiplier is not above 0, for images that do not fit the model or
 *   whose pixels are far from [−1, 1], and for a model without a density or one that spreads the background
 *
 * @example
 * ```ts
 * import { createModel, denoise, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const clean = denoise(flow, tf.randomNormal([2, 1, 8, 8], 0, 0.1), { sigma: 0.1 });
 * console.log(clean.shape); // [ 2, 1, 8, 8 ]
 * ```
 */
export function denoise(flow: Model, x: tf.Tensor4D, options: DenoiseOptions): tf.Tensor4D {
  checkPixels(flow, x);
  checkDenoising(flow, options);
  return denoised(flow, x, options);
}

/** {@link denoise} without its checks. */
export function denoised(flow: Model, x: tf.Tensor4D, options: DenoiseOptions): tf.Tensor4D {
  const { sigma, multiplier = 1 } = options;
  return tidy(() => tf.add(x, tf.mul(scoreOf(flow, x, options), multiplier * sigma * sigma)));
}

/** Throws as {@link denoise} does. */
export function checkDenoising(
  { config }: Pick<Model, 'config'>,
  options: Pick<DenoiseOptions, 'sigma' | 'multiplier'>,
): void {
  checkGiven('What stands for options', options);
  const { sigma, multiplier = 1 } = options;
  if (!(Number.isFinite(multiplier) && multiplier > 0)) {
    throw new UserError(
      `Denoising got the multiplier ${multiplier}`,
      'Expected a number above 0; the papers take 0.9 to 1.4',
    );
  }
  if (!(Number.isFinite(sigma) && sigma > 0)) {
    throw new UserError(
      `Denoising got sigma ${sigma}`,
      'Expected the standard deviation of the Gaussian noise used in training, above 0; a model ' +
        'trained with uniform noise has none',
    );
  }
  if ('background' in config && config.background !== undefined) {
    throw new UserError(
      'This model spreads the background: it was trained with uniform noise',
      'Its samples have no Gaussian noise to take away; leave the denoising step out',
    );
  }
}
