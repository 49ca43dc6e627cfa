import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';
import { dimensions } from '../flow/config.js';
import { classMixture, type Label } from '../flow/labels.js';
import { patchify } from '../flow/patches.js';
import { checkImages, flowLoss, forwardTokens, type TarFlow } from '../flow/tarflow.js';

/**
 * The score of the flow's own density, ∇ log p(x | label), exact, by one backward pass.
 *
 * @param x images (batch, channels, height, width)
 * @returns the score, of the same shape
 */
export function score(flow: TarFlow, x: tf.Tensor4D, label?: Label): tf.Tensor4D {
  return tf.tidy(() => {
    const scale = -x.shape[0] * dimensions(flow.config);
    return tf.mul(lossGradient(flow, x, label), scale) as tf.Tensor4D;
  });
}

/** Gradient of the batch's mean training loss with respect to the images. */
export function lossGradient(flow: TarFlow, x: tf.Tensor4D, label?: Label): tf.Tensor4D {
  return tf.tidy(() => {
    checkImages(flow.config, x);
    const classes = classMixture(flow.config, label, x.shape[0]);
    const loss = (images: tf.Tensor): tf.Scalar =>
      flowLoss(flow, forwardTokens(flow, patchify(flow.config, images as tf.Tensor4D), classes))
        .loss;
    return tf.grad(loss as never)(x) as tf.Tensor4D;
  });
}

export interface DenoiseOptions {
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
 * @throws UserError where sigma is not above 0
 */
export function denoise(flow: TarFlow, x: tf.Tensor4D, options: DenoiseOptions): tf.Tensor4D {
  const { sigma, label, multiplier = 1 } = options;
  if (!(Number.isFinite(sigma) && sigma > 0)) {
    throw new UserError(
      `Denoising got sigma ${sigma}`,
      'Expected the standard deviation of the Gaussian noise used in training, above 0; a model ' +
        'trained with uniform noise has none',
    );
  }
  return tf.tidy(() =>
    tf.add(x, tf.mul(score(flow, x, label), multiplier * sigma * sigma)),
  ) as tf.Tensor4D;
}
