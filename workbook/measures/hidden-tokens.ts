import { UserError } from '../../src/core/errors.js';
import { tf, tidy } from '../../src/core/tf.js';
import type { Cache } from '../../src/flow/autoregressive.js';
import { truncatedCache } from '../../src/flow/cache.js';
import { denormalise } from '../../src/flow/gaussian.js';
import type { ConditionedBlock } from '../../src/sampling/guidance.js';
import type { Start } from '../../src/sampling/solvers/definition.js';
import { givenTokens, lastOf } from '../../src/sampling/solvers/sequential/steps.js';

interface HidingOptions {
  /**
   * What hidden tokens read as: zeros, which tell nothing but which no block has been trained on, or
   * the block's output in their place, from which iteration starts. Default zeros.
   */
  readAs?: Start;
  /** Awaited after each token with the number of those solved. */
  onStep?: (solved: number) => Promise<void> | void;
}

/**
 * Solves a block token by token, each from a past with a gap: of the tokens before it the nearest
 * `hidden` are hidden. How far the result is from the exact one tells
 * how much the block depends on near tokens; what it loses little by is redundant (the probing
 * experiment of Zhang et al. 2025, arXiv 2505.24791, in our words: they mask those tokens).
 *
 * @param block with its conditions, as `withGuidance` or a trajectory has them
 * @param z the block's output (batch, T, D), in the block's order
 * @param hidden 0 hides nothing and gives the exact input, T − 1 or more hides everything
 * @returns the block's input as so found (batch, T, D), in the block's order; the caller frees it
 * @throws UserError for a number of tokens that is not a whole one of at least 0
 */
export async function solveWithoutNearest(
  { block, conditions }: ConditionedBlock,
  z: tf.Tensor3D,
  hidden: number,
  { readAs = 'zeros', onStep }: HidingOptions = {},
): Promise<tf.Tensor3D> {
  if (!Number.isInteger(hidden) || hidden < 0) {
    throw new UserError(`The number of hidden tokens is ${hidden}`, 'Expected 0, 1, 2 and so on');
  }
  const [batch, tokens, width] = z.shape;
  const target = (from: number, count: number) => tf.slice(z, [0, from, 0], [-1, count, -1]);
  const gap = (from: number, count: number) =>
    readAs === 'latent' ? target(from, count) : tf.zeros<tf.Rank.R3>([batch, count, width]);

  // Tokens whose whole past is hidden are predicted from the gap alone, all at once.
  const blind = Math.min(hidden, tokens - 1);
  let past = tidy(() => {
    const first = givenTokens(block, z);
    if (blind < block.given) return first;
    const { next } = block.predict(gap(0, blind), { conditions });
    const rest = denormalise(target(block.given, blind + 1 - block.given), next);
    return block.given === 0 ? rest : tf.concat([first, rest], 1);
  });
  let cache: Cache | undefined;
  try {
    for (let next = blind + 1; next < tokens; next++) {
      const seen = next - hidden;
      const step = tidy(() => {
        const nearest = tf.slice(past, [0, seen - 1, 0], [-1, 1, -1]);
        const input = hidden > 0 ? tf.concat([nearest, gap(seen, hidden)], 1) : nearest;
        const place = { start: seen - 1, cache, conditions, keepCache: true };
        const { next: predicted, cache: extended } = block.predict(input, place);
        const token = denormalise(target(next, 1), lastOf(predicted));
        return {
          past: tf.concat([past, token], 1),
          cache: truncatedCache(block, extended as Cache, seen),
        };
      });
      past.dispose();
      if (cache) tf.dispose(cache);
      ({ past, cache } = step);
      await onStep?.(next + 1);
    }
    return past.clone();
  } finally {
    past.dispose();
    if (cache) tf.dispose(cache);
  }
}
