import { tf, tidy } from '../../src/core/tf.js';
import type { AutoregressiveBlock, Conditions } from '../../src/flow/autoregressive.js';
import { denormalise } from '../../src/flow/gaussian.js';
import { givenTokens, lastOf } from '../../src/sampling/solvers/sequential/steps.js';

/**
 * The input of a block by the definition of an autoregressive flow (TarFlow, section 3.1):
 * x_t = exp(a)·z_t + b, with a and b predicted from the tokens before it, one token after the other.
 * Nothing is kept from step to step, so T tokens take T²/2 evaluations of one. The fast solvers are
 * compared with it.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @returns the block's input, of the same shape; the caller frees it
 */
export function referenceInverse(
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  conditions: Conditions = {},
): tf.Tensor3D {
  return tidy(() => {
    // What nothing precedes passes through; a start token precedes the first one.
    let x = givenTokens(block, z);
    for (let t = block.given; t < block.tokens; t++) {
      const { next } = block.predict(x, { conditions });
      const token = denormalise(tf.slice(z, [0, t, 0], [-1, 1, -1]), lastOf(next));
      x = t === 0 ? token : tf.concat([x, token], 1);
    }
    return x;
  });
}
