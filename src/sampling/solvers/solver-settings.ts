import { z } from 'zod';
import { count } from '../../flow/model.js';

const bound = 'expected a number of at least 0; 0 iterates to the exact solution';

/** What a change is compared with. */
export const tolerance = z.number(bound).min(0, bound);

/**
 * The tolerance of a solver that names none. Changes of this size are of the order of float32
 * rounding in an image of range 2.
 */
export const defaultTolerance = 1e-5;

/** Settings of iterative solvers. */
export const iterationSettings = {
  /**
   * A token is final once all before it were, or once the change of it and of all before it that are not
   * final, in `norm`, is at most this, on the scale of the block's tokens (images lie in [−1, 1]). 0 iterates
   * to the exact solution (the published form, whose largest change has to be below it, then goes on to
   * `maximum`). Default 1e-5. It bounds the change, not the error: what is left undone in a token grows in
   * those that depend on it, in a tough block of 1,024 tokens a thousandfold. `planSampling` measures the
   * error.
   */
  tolerance: tolerance.optional(),
  /** Default `largest`. */
  norm: z.enum(['largest', 'frobenius']).optional(),
  /**
   * Most iterations on a segment, after which its tokens stay as they are. Default: as many as it
   * has tokens, which always suffice.
   */
  maximum: count.optional(),
  /** Default `latent`. */
  start: z.enum(['latent', 'zeros']).optional(),
};

const iteration = z.object(iterationSettings);

/** Settings that all iterative solvers share. */
export type IterationSettings = z.infer<typeof iteration>;

/** The settings of an iterative solver in words. */
export function iterationText(
  form: string,
  settings: Omit<IterationSettings, 'start'> & {
    start?: string | undefined;
    segments?: number;
    clamp?: number | undefined;
  },
): string {
  const { segments = 1, start = 'latent', maximum, clamp } = settings;
  const { tolerance: bounded = defaultTolerance } = settings;
  return [
    form,
    ...(segments > 1 ? [`${segments} segments`] : []),
    `from ${start}`,
    `to ${Number(bounded.toPrecision(2))}`,
    ...(maximum === undefined ? [] : [`at most ${maximum}`]),
    ...(clamp === undefined ? [] : [`clamped at ${clamp}`]),
  ].join(', ');
}
