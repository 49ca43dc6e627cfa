import { UserError } from '../../backend/errors.js';
import type { tf } from '../../backend/tf.js';
import type { AutoregressiveBlock } from '../../flow/autoregressive.js';
import { ability } from '../../flow/flow.js';
import type { Model } from '../../flow/model.js';

/**
 * Checks latents against a model.
 * @throws UserError where their shape is not the model's, or a number is not finite
 */
export function checkLatents(model: Pick<Model, 'family' | 'config'>, z: tf.Tensor): void {
  checkTokens(ability(model.family, 'generator').latentShape(model.config), z, 'model');
}

/**
 * Checks the output of a block.
 * @throws UserError where its shape is not the block's, or a number is not finite
 */
export function checkBlockOutput({ tokens, width }: AutoregressiveBlock, z: tf.Tensor): void {
  checkTokens([tokens, width], z, 'block');
}

function checkTokens(expected: readonly [number, number], z: tf.Tensor, what: string): void {
  if (z.rank !== 3 || z.shape[1] !== expected[0] || z.shape[2] !== expected[1]) {
    throw new UserError(
      `Latents of shape (${z.shape.join(', ')}) came`,
      `This ${what} takes (batch, ${expected.join(', ')})`,
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
