import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { denoise } from '../sampling/denoise.js';
import type { CheckpointDetails } from '../training/checkpoint.js';
import { checkUsed } from './arguments.js';
import { withProgress } from './command.js';
import type { ConditionsInTurn } from './condition-options.js';

/** Denoises in batches: a step keeps the activations of all blocks. */
export function denoiseAll(
  flow: LoadedModel,
  images: tf.Tensor4D,
  { label, text, ...step }: ConditionsInTurn & { sigma: number; multiplier: number },
): Promise<tf.Tensor4D> {
  const [count] = images.shape;
  const batchSize = 64;
  return withProgress('Denoising', count, async (onProgress) => {
    const parts: tf.Tensor4D[] = [];
    try {
      for (let first = 0; first < count; first += batchSize) {
        const length = Math.min(batchSize, count - first);
        const part = tidy(() =>
          denoise(flow, tf.slice(images, first, length), {
            ...step,
            label: label?.slice(first, first + length),
            text: text && tf.slice(text, first, length),
          }),
        );
        parts.push(part);
        onProgress((first + length) / count);
        // Let Control-C and the progress bar in.
        await new Promise(setImmediate);
      }
      return tf.concat(parts, 0);
    } finally {
      tf.dispose(parts);
    }
  });
}

/**
 * The denoising step that `--denoise` and `--sigma` ask for after sampling.
 * @throws UserError as {@link checkSigma} and {@link trainingSigma} do, and for a sigma without the step
 */
export function denoisingOf(
  flow: LoadedModel,
  checkpoint: string,
  { denoise, sigma: given }: { denoise?: number | true; sigma?: number },
): { sigma: number; multiplier: number } | undefined {
  checkUsed({ sigma: given }, denoise === undefined && 'without --denoise');
  if (denoise === undefined) return undefined;
  if (given !== undefined) checkSigma(checkpoint, flow.details, given);
  const sigma = given ?? trainingSigma(flow, checkpoint, 'give --sigma, or leave --denoise out');
  return { sigma, multiplier: denoise === true ? 1 : denoise };
}

/**
 * Checks the deviation of noise that is given of a model, which may say it itself.
 * @throws UserError where it is not above 0, and where the model says another one
 */
export function checkSigma(checkpoint: string, { noise }: CheckpointDetails, sigma: number): void {
  if (!(sigma > 0)) throw new UserError(`--sigma is ${sigma}`, 'Expected a number above 0');
  if (!noise || (noise.kind === 'gaussian' && noise.sigma === sigma)) return;
  const stated =
    noise.kind === 'gaussian' ? `Gaussian noise, sigma ${noise.sigma}` : 'uniform noise';
  throw new UserError(
    `--sigma is ${sigma}, and ${checkpoint} was trained with ${stated}`,
    'Leave --sigma out',
  );
}

/**
 * The deviation of the noise that a model was trained with.
 * @param remedy what else the user can do
 * @throws UserError where it was not Gaussian, or is not known
 */
export function trainingSigma(
  { details }: LoadedModel,
  checkpoint: string,
  remedy = 'if this one was, give --sigma',
): number {
  if (details.noise?.kind === 'gaussian') return details.noise.sigma;
  const noise = details.noise ? 'was trained with uniform noise' : 'does not say its noise';
  throw new UserError(
    `${checkpoint} ${noise}`,
    `Denoising is for models trained with Gaussian noise; ${remedy}`,
  );
}
