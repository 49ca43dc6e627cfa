import { UserError } from '../backend/errors.js';
import type { tf } from '../backend/tf.js';
import { type FlowConfig, tokenCount, tokenWidth } from '../flow/config.js';

/**
 * Checks latents, or another output of a block.
 * @throws UserError where their shape is not the model's, or a number is not finite
 */
export function checkLatents(config: FlowConfig, z: tf.Tensor): void {
  const expected = [tokenCount(config), tokenWidth(config)] as const;
  if (z.rank !== 3 || z.shape[1] !== expected[0] || z.shape[2] !== expected[1]) {
    throw new UserError(
      `Latents of shape (${z.shape.join(', ')}) came`,
      `This model takes (batch, ${expected.join(', ')})`,
    );
  }
  const broken = z.dataSync().findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) {
    const sample = Math.floor(broken / (expected[0] * expected[1]));
    throw new UserError(
      `The latent of sample ${sample} is not finite`,
      'Every number of the noise has to be finite',
    );
  }
}
