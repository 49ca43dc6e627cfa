import { UserError } from '../backend/errors.js';
import { batchParts, callCompiled, inParts, partsOf } from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import { leaves, withLeaves } from '../backend/tree.js';
import { dimensions, tokenCount } from '../flow/config.js';
import { classMixture, type Label } from '../flow/labels.js';
import { checkImages, flowLoss, forwardImages, type TarFlow } from '../flow/tarflow.js';
import { type ExecutionOptions, executionOf } from './execution.js';

/**
 * The score of the flow's own density, ∇ log p(x | label), exact, by one backward pass.
 *
 * @param x images (batch, channels, height, width)
 * @param options how it is computed, see `inverse`
 * @returns the score, of the same shape
 */
export function score(
  flow: TarFlow,
  x: tf.Tensor4D,
  label?: Label,
  options: ExecutionOptions = {},
): tf.Tensor4D {
  return tf.tidy(() => {
    const scale = -x.shape[0] * dimensions(flow.config);
    return tf.mul(lossGradient(flow, x, label, options), scale) as tf.Tensor4D;
  });
}

/**
 * Gradient of the batch's mean training loss with respect to the images; on the native engine as
 * one graph, which is recorded at the first call for a batch size.
 */
export function lossGradient(
  flow: TarFlow,
  x: tf.Tensor4D,
  label?: Label,
  options: ExecutionOptions = {},
): tf.Tensor4D {
  checkImages(flow.config, x);
  const classes = classMixture(flow.config, label, x.shape[0]);
  const { mode, precision } = executionOf(flow.config, options);
  const [batch] = x.shape;
  const parts = batchParts(mode, batch, batch * tokenCount(flow.config));
  try {
    return callCompiled({
      name: 'lossGradient',
      description: [flow.config, parts],
      parameters: leaves(flow.parameters),
      inputs: { x, ...(classes && { classes }) } as { x: tf.Tensor4D; classes?: tf.Tensor2D },
      body: (parameters, given) => {
        const traced = { ...flow, parameters: withLeaves(flow.parameters, parameters) };
        const gradients = inParts(
          partsOf(given, parts).map((part) => () => {
            const loss = (images: tf.Tensor): tf.Scalar =>
              flowLoss(traced, forwardImages(traced, images as tf.Tensor4D, part.classes)).loss;
            return { gradient: tf.grad(loss as never)(part.x) };
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
    classes?.dispose();
  }
}

export interface DenoiseOptions extends ExecutionOptions {
  /** Standard deviation of the noise that the model was trained with. */
  sigma: number;
  /** Labels of the samples; the step uses p(x | label) without guidance. */
  label?: Label;
  /** λ, multiplies the step; the papers tune it between 0.9 and 1.4. Default 1. */
  multiplier?: number;
}

/**
 * One denoising step by Tweedie's formula, x + λσ²·∇ log p(x): the mean of the clean image given
 * the noisy one (TarFlow, section 3.3). No training, one backward pass.
 *
 * @param x noisy images (batch, channels, height, width)
 * @returns cleaned images of the same shape, not clipped
 * @throws UserError where sigma is not above 0, and for a model that spreads the background
 */
export function denoise(flow: TarFlow, x: tf.Tensor4D, options: DenoiseOptions): tf.Tensor4D {
  const { sigma, label, multiplier = 1 } = options;
  checkDenoising(flow, options);
  return tf.tidy(() =>
    tf.add(x, tf.mul(score(flow, x, label, options), multiplier * sigma * sigma)),
  ) as tf.Tensor4D;
}

/** Throws as {@link denoise} does. */
export function checkDenoising(flow: TarFlow, { sigma }: { sigma: number }): void {
  if (!(Number.isFinite(sigma) && sigma > 0)) {
    throw new UserError(
      `Denoising got sigma ${sigma}`,
      'Expected the standard deviation of the Gaussian noise used in training, above 0; a model ' +
        'trained with uniform noise has none',
    );
  }
  if (flow.config.background !== undefined) {
    throw new UserError(
      'This model spreads the background: it was trained with uniform noise',
      'Its samples have no Gaussian noise to take away; leave the denoising step out',
    );
  }
}
