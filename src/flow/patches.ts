import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import type { ImageSize } from '../data/source.js';

/** An image's size, and the side of the square patches that it is cut into, in pixels. */
export interface Patches {
  image: ImageSize;
  patchSize: number;
  /** Which number of a token comes first: see {@link patchify}. Default 'channel'. */
  slowest?: 'channel' | 'pixel';
}

/** Rows and columns of the grid of tokens. */
export function gridOf({ image, patchSize }: Patches): [rows: number, columns: number] {
  return [image.height / patchSize, image.width / patchSize];
}

/** Number of tokens T = (height/P)·(width/P). */
export function tokenCount(patches: Patches): number {
  const [rows, columns] = gridOf(patches);
  return rows * columns;
}

/** Numbers in a token, D = image channels · P². */
export function tokenWidth({ image, patchSize }: Patches): number {
  return image.channels * patchSize ** 2;
}

/**
 * Checks the sizes of a transformer over patches.
 * @throws UserError for patches that do not tile the image, a single token, or heads that do not divide
 *   the channels
 */
export function checkPatches(config: Patches & { channels: number; headWidth: number }): void {
  const { image, patchSize, channels, headWidth } = config;
  if (image.height % patchSize !== 0 || image.width % patchSize !== 0) {
    throw new UserError(
      `A patch of ${patchSize}×${patchSize} does not tile an image of ${image.height}×${image.width}`,
      'Choose a patchSize that divides both sides',
    );
  }
  if (tokenCount(config) < 2) {
    throw new UserError(
      `An image of ${image.height}×${image.width} in patches of ${patchSize} is a single token`,
      'An autoregressive flow needs at least two; choose a smaller patchSize',
    );
  }
  if (channels % headWidth !== 0) {
    throw new UserError(
      `headWidth ${headWidth} does not divide channels ${channels}`,
      'Choose channels as a multiple of headWidth',
    );
  }
}

/**
 * Cuts images into tokens. Tokens come in raster order over patches; inside a token the channel is
 * slowest, then the row, then the column, as in TarFlow; or the row is slowest, then the column, then
 * the channel, as in STARFlow.
 *
 * @param images (batch, channels, height, width); `patchSize` divides height and width
 * @returns (batch, T, D) with T = height·width/patchSize² and D = channels·patchSize²; the caller frees it
 */
export function patchify(patches: Patches, images: tf.Tensor4D): tf.Tensor3D {
  const { image, patchSize: p, slowest = 'channel' } = patches;
  const [rows, columns] = gridOf(patches);
  return tidy(() => {
    const cut = tf.reshape(images, [-1, image.channels, rows, p, columns, p]);
    const tokens = tf.transpose(cut, slowest === 'pixel' ? [0, 2, 4, 3, 5, 1] : [0, 2, 4, 1, 3, 5]);
    return tf.reshape(tokens, [-1, rows * columns, image.channels * p * p]);
  });
}

/**
 * Puts tokens back together: the exact inverse of {@link patchify}.
 *
 * @param tokens (batch, T, D)
 * @returns (batch, channels, height, width); the caller frees it
 */
export function unpatchify(patches: Patches, tokens: tf.Tensor3D): tf.Tensor4D {
  const { image, patchSize: p, slowest = 'channel' } = patches;
  const [rows, columns] = gridOf(patches);
  return tidy(() => {
    const inner = slowest === 'pixel' ? [p, p, image.channels] : [image.channels, p, p];
    const cut = tf.reshape(tokens, [-1, rows, columns, ...inner]);
    const images = tf.transpose(cut, slowest === 'pixel' ? [0, 5, 1, 3, 2, 4] : [0, 3, 1, 4, 2, 5]);
    return tf.reshape(images, [-1, image.channels, image.height, image.width]);
  });
}
