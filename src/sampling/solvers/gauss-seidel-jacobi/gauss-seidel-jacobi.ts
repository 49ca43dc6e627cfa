import { z } from 'zod';
import { UserError } from '../../../core/errors.js';
import type { AutoregressiveBlock } from '../../../flow/autoregressive.js';
import { count } from '../../../flow/model.js';
import type { FormSearch, SolverDefinition, Start } from '../definition.js';
import { iterationSettings, iterationText } from '../solver-settings.js';
import { solveByIteration } from './solve-by-iteration.js';

const jacobiSchema = z.strictObject({ kind: z.literal('jacobi'), ...iterationSettings });

/**
 * All tokens at once, again and again; after k iterations the first k tokens are exact, and one more
 * where the first token passes through (Zhang et al. 2025, arXiv 2505.24791).
 */
export type Jacobi = z.infer<typeof jacobiSchema>;

export const jacobi: SolverDefinition<Jacobi> = {
  kind: 'jacobi',
  schema: jacobiSchema,
  text: (solver) => iterationText('Jacobi', solver),
  showsIterates: true,
  solve: (block, latents, solver, context) =>
    solveByIteration(block, latents, { ...solver, segments: 1 }, context),
};

const schema = z.strictObject({
  kind: z.literal('gaussSeidelJacobi'),
  segments: count,
  ...iterationSettings,
});

/**
 * Segments of tokens one after the other, Jacobi iterations inside each (Liu and Qin 2025, arXiv
 * 2505.12849).
 */
export type GaussSeidelJacobi = z.infer<typeof schema>;

export const gaussSeidelJacobi: SolverDefinition<GaussSeidelJacobi> = {
  kind: 'gaussSeidelJacobi',
  schema,
  check: (block, { segments }) => checkSegments(block, segments),
  text: (solver) => iterationText('Jacobi', solver),
  showsIterates: true,
  solve: solveByIteration,
  tryForms,
};

/** @throws UserError where there are more segments than tokens */
export function checkSegments({ tokens }: AutoregressiveBlock, segments: number): void {
  if (segments <= tokens) return;
  throw new UserError(
    `The number of segments is ${segments}`,
    `Expected a whole number from 1 to the number of tokens, ${tokens}`,
  );
}

/** Each start with one segment, and the better one with more and more segments as long as they help. */
async function tryForms({ tokens, tolerance, starts, tough, look }: FormSearch): Promise<void> {
  let [start, least]: [Start, number] = ['latent', Number.POSITIVE_INFINITY];
  for (const tried of starts) {
    const milliseconds = await look({ kind: 'jacobi', tolerance, start: tried });
    if (milliseconds < least) [start, least] = [tried, milliseconds];
  }
  let bound = tough ? Number.POSITIVE_INFINITY : least;
  for (let segments = 2; segments <= tokens / 4; segments *= 2) {
    const form = { kind: 'gaussSeidelJacobi', segments, tolerance, start };
    const milliseconds = await look(form);
    if (milliseconds >= bound) break;
    bound = milliseconds;
  }
}
