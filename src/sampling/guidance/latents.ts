import { UserError } from '../../core/errors.js';
import type { tf } from '../../core/tf.js';
import type { AutoregressiveBlock } from '../../flow/autoregressive.js';
import { ability } from '../../flow/flow.js';
import type { Model } from '../../flow/model.js';

/**
 * Checks noise against a model.
 * @throws UserError where their shape is not the model's, or a number is not finite
 */
export function checkLatents(model: Pick<Model, 'family' | 'config'>, z: tf.Tensor): void {
  const sample = checkTokens(
    ability(model.family, 'generator').latentShape(model.config),
    z,
    'model',
  );
  if (sample === undefined) return;
  throw new UserError(
    `The latent of sample ${sample} is not finite`,
    'Every number of the noise has to be finite',
  );
}

/**
 * Checks the output of a block.
 * @throws UserError where its shape is not the block's, or a number is not finite
 */
export function checkBlockOutput(
  { tokens, width, index }: AutoregressiveBlock,
  z: tf.Tensor,
): void {
  const sample = checkTokens([tokens, width], z, 'block');
  if (sample === undefined) return;
  throw new UserError(
    `The output of block ${index} is not finite in sample ${sample}`,
    'Where the noise is finite, the weights of the model may not be: train it again, or take a ' +
      'checkpoint of an earlier step',
  );
}

/** The first sample that has a number that is not finite; throws for another shape. */
function checkTokens(
  expected: readonly [number, number],
  z: tf.Tensor,
  what: string,
): number | undefined {
  if (z.rank !== 3 || z.shape[1] !== expected[0] || z.shape[2] !== expected[1]) {
    throw new UserError(
      `Latents of shape (${z.shape.join(', ')}) came`,
      `This ${what} takes (batch, ${expected.join(', ')})`,
    );
  }
  const broken = z.dataSync().findIndex((value) => !Number.isFinite(value));
  return broken < 0 ? undefined : Math.floor(broken / (expected[0] * expected[1]));
}
