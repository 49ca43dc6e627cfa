import { z } from 'zod';
import { UserError } from '../../core/errors.js';

/** Numbers of things. */
export const count = z
  .int(expected('a whole number above 0'))
  .min(1, expected('a whole number above 0'));

const bound = 'a number of at least 0; 0 iterates to the exact solution';

/** What a change is compared with. */
export const tolerance = z.number(expected(bound)).min(0, expected(bound));

/** The schema of one of some words. */
export function oneOf<const Words extends readonly string[]>(words: Words) {
  return z.enum(words, expected(words.map((word) => `'${word}'`).join(' or ')));
}

/** What the remedy of an error says. */
export function expected(what: string): { error: string } {
  return { error: `Expected ${what}` };
}

/**
 * Checks settings by their schema, whose messages say what is expected.
 * @throws UserError that names the first setting that does not fit
 */
export function checkSettings(what: string, schema: z.ZodType, settings: object): void {
  const [issue] = schema.safeParse(settings).error?.issues ?? [];
  if (!issue) return;
  if (issue.code === 'unrecognized_keys') {
    const unknown = issue.keys.join(', ');
    throw new UserError(`${unknown} is no setting of ${what}`, 'Leave it out');
  }
  const [name] = issue.path;
  const value: unknown = Object.entries(settings).find(([key]) => key === name)?.[1];
  const shown = typeof value === 'string' ? `'${value}'` : String(value);
  throw new UserError(`In ${what}, ${String(name)} is ${shown}`, issue.message);
}

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
  norm: oneOf(['largest', 'frobenius']).optional(),
  /**
   * Most iterations on a segment, after which its tokens stay as they are. Default: as many as it
   * has tokens, which always suffice.
   */
  maximum: count.optional(),
  /** Default `latent`. */
  start: oneOf(['latent', 'zeros']).optional(),
};

const iteration = z.object(iterationSettings);

/** Settings that all iterative solvers share. */
export type IterationSettings = z.infer<typeof iteration>;

/** The settings of an iterative solver in words. */
export function iterationText(
  form: string,
  settings: {
    segments?: number;
    start?: string | undefined;
    tolerance?: number | undefined;
    maximum?: number | undefined;
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
