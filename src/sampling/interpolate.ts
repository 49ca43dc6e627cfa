import type { NamedContext } from '../conditions/context.js';
import { counted, UserError } from '../core/errors.js';
import { foldIn, normal, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { forward } from '../flow/forward.js';
import { checkPixels, type Model } from '../flow/model.js';
import { checkDenoising, denoised } from './denoise.js';
import { type InverseOptions, inverse } from './inverse.js';

/** How images go to noise and come back. */
export interface EditOptions
  extends Pick<InverseOptions, 'solver' | 'mode' | 'precision' | 'onProgress' | 'signal'> {
  /** What images show on their way to noise. */
  from?: NamedContext['label'];
  /** What they show on the way back, one label for all or one for each. Default: `from`. */
  to?: NamedContext['label'];
  /**
   * Standard deviation of the Gaussian noise of the training, in which images are encoded, and which is taken
   * away from what comes back. Absent, images are taken as they are: noise that did not change gives them again.
   */
  sigma?: number | undefined;
  /** Of that noise. Default 0. */
  seed?: number;
}

/**
 * Images by a change of their noise z, or of their label: the flow has one noise for each image and label.
 * With noise kept and another label, an image's style goes to another class.
 *
 * @param images (batch, channels, height, width), about [−1, 1]
 * @param change new noise (any number, T, D) from that of the images (batch, T, D); called in `tidy`
 * @returns (any number, channels, height, width), not clipped; the caller frees them
 * @throws UserError where images or labels do not fit the model, for noise that is not finite, and for a
 *   model without a density or a sampler
 */
export async function editLatents(
  flow: Model,
  images: tf.Tensor4D,
  change: (z: tf.Tensor3D) => tf.Tensor3D,
  options: EditOptions = {},
): Promise<tf.Tensor4D> {
  const { from, to: label = from, sigma, seed = 0, ...how } = options;
  checkPixels(flow, images);
  if (sigma !== undefined) checkDenoising(flow, { sigma });
  const z = tidy(() => {
    const noise = normal(foldIn(randomKey(seed), 'edit'), images.size);
    const noisy: tf.Tensor4D = tf.add(images, tf.mul(tf.tensor4d(noise, images.shape), sigma ?? 0));
    return change(forward(flow, noisy, { label: from }).z);
  });
  const noisy = await inverse(flow, z, { ...how, label }).finally(() => z.dispose());
  if (sigma === undefined) return noisy;
  const { mode, precision } = how;
  const clean = denoised(flow, noisy, { sigma, label, mode, precision });
  noisy.dispose();
  return clean;
}

/**
 * Images on the way from one to another, along a great circle of their noise: Gaussian noise of many numbers
 * lies near a sphere, and the straight way leads through its inside (White 2016, arXiv 1609.04468).
 *
 * @param ends (2, channels, height, width)
 * @param count images, both ends among them; at least 2
 * @returns (count, channels, height, width), not clipped; the caller frees them
 * @throws UserError for a count below 2, and as {@link editLatents}
 */
export async function interpolate(
  flow: Model,
  ends: tf.Tensor4D,
  count: number,
  options: EditOptions = {},
): Promise<tf.Tensor4D> {
  if (!(count >= 2)) {
    throw new UserError(`The number of images is ${count}`, 'Expected 2 or more, ends included');
  }
  if (ends.shape[0] !== 2) {
    throw new UserError(
      `${counted(ends.shape[0], 'image')} came`,
      'Expected two, the ends of a way',
    );
  }
  const arc = (z: tf.Tensor3D): tf.Tensor3D => {
    const [a, b] = tf.split(z, 2, 0);
    const [cosine = 1] = tf.div(tf.sum(tf.mul(a, b)), tf.mul(tf.norm(a), tf.norm(b))).dataSync();
    const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
    const share = (t: number) => (angle < 1e-4 ? t : Math.sin(t * angle) / Math.sin(angle));
    const points = Array.from({ length: count }, (_, i) => i / (count - 1));
    return tf.concat(points.map((t) => tf.add(tf.mul(a, share(1 - t)), tf.mul(b, share(t)))));
  };
  return editLatents(flow, ends, arc, options);
}
