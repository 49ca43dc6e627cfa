import { z } from 'zod';
import { didYouMean, UserError, unknownName } from '../../core/errors.js';
import { checkedValue } from '../../core/schema.js';
import type { AutoregressiveBlock } from '../../flow/autoregressive.js';
import type { SolverDefinition } from './definition.js';
import { gaussSeidelJacobi, jacobi } from './gauss-seidel-jacobi/gauss-seidel-jacobi.js';
import { publishedBlockwiseJacobi, publishedGaussSeidelJacobi } from './published/published.js';
import { sequential } from './sequential/sequential.js';

/** Every solver of the library: a line each. */
const builtIn = [
  sequential,
  jacobi,
  gaussSeidelJacobi,
  publishedGaussSeidelJacobi,
  publishedBlockwiseJacobi,
] as const;

/**
 * Solvers from outside of the library: a module that calls {@link registerSolver} adds its settings here,
 * under its kind, by declaration merging.
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is there to be merged with
export interface RegisteredSolvers {}

/**
 * How to solve a block for its input, x = exp(a(x))·z + b(x), where a and b of a token depend on
 * earlier tokens only: a kind and its settings, as data.
 */
export type Solver =
  | z.infer<(typeof builtIn)[number]['schema']>
  | RegisteredSolvers[keyof RegisteredSolvers];

const definitions = new Map<string, SolverDefinition<Solver>>(
  builtIn.map((definition) => [definition.kind, definition]),
);

/**
 * Makes a solver known: it is then checked, planned, saved in plans and named in tables as those of the
 * library are.
 *
 * @throws UserError where its kind is taken
 */
export function registerSolver<S extends Solver>(definition: SolverDefinition<S>): void {
  const { kind } = definition;
  if (definitions.has(kind)) {
    throw new UserError(`There is a solver '${kind}' already`, 'Choose another kind');
  }
  definitions.set(kind, definition);
}

/** All solvers that are known, in the order in which they were registered. */
export function solverDefinitions(): SolverDefinition<Solver>[] {
  return [...definitions.values()];
}

/** @throws UserError for an unknown kind */
export function definitionOf({ kind }: { kind: string }): SolverDefinition<Solver> {
  const found = definitions.get(kind);
  if (found) return found;
  throw unknownName('solver', kind, [...definitions.keys()]);
}

/** A solver in a file: read by the schema of its kind. */
export const solverSchema: z.ZodType<Solver> = z
  .looseObject({ kind: z.string() })
  .transform((value, context): Solver => {
    const kinds = [...definitions.keys()];
    const message = `${didYouMean(value.kind, kinds)}expected one of ${kinds.join(', ')}`;
    const unknown = [{ path: ['kind'], message }];
    const { data, error } = definitions.get(value.kind)?.schema.safeParse(value) ?? {};
    if (data) return data;
    for (const { path, message } of error?.issues ?? unknown) {
      context.addIssue({ code: 'custom', path, message });
    }
    return z.NEVER;
  });

/**
 * Checks a solver against a block.
 * @throws UserError for an unknown kind, and for settings that are out of range or do not fit
 */
export function checkSolver(block: AutoregressiveBlock, solver: Solver): void {
  const definition = definitionOf(solver);
  const source = `The solver '${solver.kind}'`;
  checkedValue(definition.schema, solver, source, 'Choose settings that fit');
  definition.check?.(block, solver);
}

/**
 * One solver per block, by index from the data.
 *
 * @throws UserError for settings that do not fit the model, and where the number of solvers is not
 *   that of the blocks
 */
export function solversOfBlocks(
  blocks: readonly AutoregressiveBlock[],
  solver: Solver | readonly Solver[],
): readonly Solver[] {
  const solvers = 'kind' in solver ? blocks.map(() => solver) : solver;
  if (solvers.length !== blocks.length) {
    throw new UserError(
      `${solvers.length} solvers came for a model of ${blocks.length} blocks`,
      'Give one for all, or one per block by its index from the data',
    );
  }
  for (const [index, own] of solvers.entries()) checkSolver(blocks[index]!, own);
  return solvers;
}

/** A solver in a few words, for tables; of one that is not known, as in a record of old, its kind. */
export function solverText(solver: Solver): string {
  return definitions.get(solver.kind)?.text(solver) ?? solver.kind;
}
