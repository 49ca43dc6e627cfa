import { UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';

/** A network by whose features sets of images are compared. */
export interface FeatureNetwork {
  /** Stands beside every figure: distances by two networks cannot be compared. */
  readonly name: string;
  /** Features of an image. */
  readonly width: number;
  /**
   * The SHA-256 of the weights, under which statistics of features are kept on disk; where it is
   * absent they are not.
   */
  readonly weights?: string;
  /** What distances by this network are called; FID and KID are Inception-v3's alone. */
  readonly distances?: { readonly frechet: string; readonly kernel: string };
  /**
   * Features (batch, width), which the caller frees.
   *
   * @param images (batch, channels, height, width) in [−1, 1]
   * @throws UserError where the images do not fit the network
   */
  features(images: tf.Tensor4D): tf.Tensor2D;
  /** Frees the network's tensors. */
  dispose(): void;
}

/**
 * Images with the channels last, as a network of colour images sees them: grey ones as three equal
 * channels.
 *
 * @param images (batch, 1 or 3, height, width)
 * @param network for the error
 * @returns (batch, height, width, 3)
 * @throws UserError for images of other channels
 */
export function colourImages(images: tf.Tensor4D, network: string): tf.Tensor4D {
  const [, channels] = images.shape;
  if (channels !== 1 && channels !== 3) {
    throw new UserError(`Images of ${channels} channels came`, `${network} takes those of 1 or 3`);
  }
  const last = tf.transpose(images, [0, 2, 3, 1]);
  return channels === 3 ? last : tf.tile(last, [1, 1, 1, 3]);
}

/** A part of a grey level by which a whole one may be missed in float32. */
const slack = 1e-3;

/**
 * Whole grey levels 0 … 255 of numbers in [−1, 1], clipped. A part of a level is cut off, as the
 * evaluation of the published code does (`(255 * image).byte()`); pixels of 8 bits stay what they are.
 */
export function greyLevels(images: tf.Tensor4D): tf.Tensor4D {
  const levels = tf.mul(tf.add(images, 1), 127.5);
  return tf.clipByValue(tf.floor(tf.add(levels, slack)), 0, 255);
}
