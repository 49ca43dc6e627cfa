import { batchParts, callCompiled, inParts, partsOf } from '@tarflow/graph';
import { type Given, givenConditions } from '../conditions/given.js';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { ability, checkImages, dimensions, flowLoss, logProbOf } from '../flow/flow.js';
import type { ForwardResult, Model } from '../flow/model.js';
import { stateDict, withStateDict } from '../flow/state-dict.js';
import { type ExecutionOptions, modeOf } from './guidance/execution.js';

/** How a score is computed, and for which label or caption. */
export interface ScoreOptions extends ExecutionOptions, Given {}

/**
 * The score of the flow's own density, ∇ log p(x | label), exact, by one backward pass: in nats per
 * unit of x.
 *
 * @param x images (batch, channels, height, width)
 * @param options how it is computed, see `inverse`
 * @returns the score, of the same shape; the caller frees it
 * @throws UserError where the images, labels or captions do not fit the model, or it has no density
 *
 * @example
 * ```ts
 * import { imagesTensor, loadCheckpoint, loadDataset, score } from 'tarflow';
 *
 * const file = 'results/checkpoints/noise/fashion-mnist-gaussian-0.1-seed-1.safetensors';
 * const flow = await loadCheckpoint(file);
 * const data = await loadDataset('fashion-mnist', 'validation');
 * const gradient = score(flow, imagesTensor(data, [0]), { label: data.labels.slice(0, 1) });
 * console.log(gradient.shape); // [ 1, 1, 28, 28 ]
 * ```
 */
export function score(flow: Model, x: tf.Tensor4D, options: ScoreOptions = {}): tf.Tensor4D {
  return tidy(() => {
    const size = dimensions(flow.config);
    const hasOwnPrior = ability(flow.family, 'flow').priorVariance?.(flow) !== undefined;
    // Where the prior is a standard normal one, the training loss is the density but for a constant.
    const gradient = hasOwnPrior
      ? gradientOf(flow, x, options, densityOf)
      : lossGradient(flow, x, options);
    return tf.mul(gradient, -x.shape[0] * size) as tf.Tensor4D;
  });
}

/** What is differentiated by images: a mean over the batch, with the name under which it is compiled. */
interface Differentiated {
  name: string;
  of(flow: Model, result: ForwardResult): tf.Tensor;
}

const trainingLoss: Differentiated = {
  name: 'lossGradient',
  of: (flow, result) => flowLoss(flow, result).loss,
};

const densityOf: Differentiated = {
  name: 'densityGradient',
  of: (flow, result) => tf.div(tf.mean(logProbOf(flow, result)), -dimensions(flow.config)),
};

/**
 * Gradient of the batch's mean training loss with respect to the images; on the native engine as
 * one graph, which is recorded at the first call for a batch size. The loss of a volume-preserving flow is
 * that under a standard normal prior.
 */
export function lossGradient(flow: Model, x: tf.Tensor4D, options: ScoreOptions = {}): tf.Tensor4D {
  return gradientOf(flow, x, options, trainingLoss);
}

function gradientOf(
  flow: Model,
  x: tf.Tensor4D,
  { mode: asked, precision = 'float32', ...given }: ScoreOptions,
  differentiated: Differentiated,
): tf.Tensor4D {
  const { forward, rows } = ability(flow.family, 'flow');
  checkImages(flow.config, x);
  const conditions = givenConditions(flow.config, given, x.shape[0]);
  const mode = modeOf({ mode: asked });
  const [batch] = x.shape;
  const parts = batchParts(mode, batch, batch * rows(flow.config));
  try {
    return callCompiled({
      name: differentiated.name,
      description: [differentiated.name, flow.config, parts],
      parameters: stateDict(flow),
      inputs: { x, ...conditions } as { x: tf.Tensor4D } & typeof conditions,
      body: (parameters, inputs) => {
        const traced = withStateDict(flow, parameters);
        const gradients = inParts(
          partsOf(inputs, parts).map(({ x: own, ...told }) => () => {
            const loss = (images: tf.Tensor): tf.Tensor =>
              differentiated.of(traced, forward(traced, images as tf.Tensor4D, told));
            return { gradient: tf.grad(loss)(own) };
          }),
        ).map(({ gradient }) => gradient);
        // Each is of its own part's mean loss.
        const [first] = gradients as [tf.Tensor];
        const gradient = parts === 1 ? first : tf.div(tf.concat(gradients), parts);
        return { gradient: gradient as tf.Tensor4D };
      },
      mode,
      precision,
    }).gradient;
  } finally {
    tf.dispose(Object.values(conditions));
  }
}

/** The step uses p(x | label) or p(x | text), without guidance. */
export interface DenoiseOptions extends ExecutionOptions, Given {
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
 * @throws UserError where sigma or the multiplier is not above 0, for images that do not fit the model,
 *   and for a model without a density or one that spreads the background
 *
 * @example
 * ```ts
 * import { denoise, imagesTensor, loadCheckpoint, loadDataset, tf } from 'tarflow';
 *
 * const file = 'results/checkpoints/noise/fashion-mnist-gaussian-0.1-seed-1.safetensors';
 * const flow = await loadCheckpoint(file);
 * const x = imagesTensor(await loadDataset('fashion-mnist', 'validation'), [0, 1]);
 * const noisy: tf.Tensor4D = tf.add(x, tf.randomNormal(x.shape, 0, 0.1));
 * const clean = denoise(flow, noisy, { sigma: 0.1 });
 * console.log(clean.shape); // [ 2, 1, 28, 28 ]
 * ```
 */
export function denoise(flow: Model, x: tf.Tensor4D, options: DenoiseOptions): tf.Tensor4D {
  const { sigma, multiplier = 1 } = options;
  checkDenoising(flow, options);
  return tidy(() => tf.add(x, tf.mul(score(flow, x, options), multiplier * sigma * sigma)));
}

/** Throws as {@link denoise} does. */
export function checkDenoising(
  { config }: Pick<Model, 'config'>,
  { sigma, multiplier = 1 }: Pick<DenoiseOptions, 'sigma' | 'multiplier'>,
): void {
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
