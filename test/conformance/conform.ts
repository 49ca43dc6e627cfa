import type { Mode } from '@tarflow/graph';
import { z } from 'zod';
import { UserError } from '../../src/core/errors.js';
import { starflowResults } from './conform-starflow.js';
import { gsJacobiResults, tarflowResults } from './conform-tarflow.js';
import { type GoldenFile, type Results, readGolden } from './golden-file.js';

/** What the library computes for each kind of golden file. */
const computations: Record<string, (golden: GoldenFile, mode?: Mode) => Promise<Results>> = {
  tarflow: tarflowResults,
  'gs-jacobi': gsJacobiResults,
  starflow: starflowResults,
};

/** How one output must agree with the file, as the JSON beside it says. */
const simpleRule = z.discriminatedUnion('error', [
  z.object({ error: z.literal('elementwise'), atol: z.number(), rtol: z.number() }),
  z.object({ error: z.literal('max'), atol: z.number(), rtolOfMax: z.number().default(0) }),
  z.object({ error: z.literal('relativeL2'), max: z.number(), normFloor: z.number() }),
]);
const ruleSchema = z.discriminatedUnion('error', [
  ...simpleRule.options,
  z.object({ error: z.literal('either'), anyOf: z.array(simpleRule).min(1) }),
]);
export type Rule = z.infer<typeof ruleSchema>;

/** One line of a conformance report. */
export interface ConformRow {
  tensor: string;
  /** The rule's measure of the error: NaN where nothing was computed to compare. */
  error: number;
  bound: number;
  pass: boolean;
  /** Why a row fails without a number. */
  note?: string;
}

/**
 * Runs the library on a golden file's weights and inputs and compares every tensor whose role is
 * `output` by the rule in the JSON beside it.
 *
 * @param file path of the .safetensors; its .json lies beside it
 * @returns a row for every output, also for those that could not be computed
 * @throws UserError for a file that is missing, damaged or of a kind that is not supported
 */
export async function conform(file: string): Promise<ConformRow[]> {
  const golden = await readGolden(file);
  return rowsOf(golden, await resultsOf(golden));
}

/**
 * What the library computes for a golden file.
 * @param mode of sampling; absent for the usual way
 */
export async function resultsOf(golden: GoldenFile, mode?: Mode): Promise<Results> {
  const { kind } = golden.description;
  const compute = computations[kind];
  if (!compute) {
    const known = Object.keys(computations).map((name) => `'${name}'`);
    throw new UserError(
      `${golden.path}: kind '${kind}' is not supported yet`,
      `Expected ${known.join(' or ')}`,
    );
  }
  return compute(golden, mode);
}

/** Compares what was computed with a golden file, output by output. */
export function rowsOf(golden: GoldenFile, results: Results): ConformRow[] {
  return Object.entries(golden.description.tensors)
    .filter(([, { role }]) => role === 'output')
    .map(([name, tensor]) => {
      const unknown = { tensor: name, error: Number.NaN, bound: Number.NaN, pass: false };
      const failed = (note: string): ConformRow => ({ ...unknown, note });
      const got = results[name];
      if (!got) return failed('not computed');
      const reference = golden.tensors[tensor.against ?? name];
      if (!reference) return failed('the file lacks it');
      const rule = ruleSchema.safeParse(tensor);
      if (!rule.success) return failed('its rule is not one of howToCheck');
      return { tensor: name, ...compare(got, reference.data, rule.data) };
    });
}

/** Compares by a rule. The error reported is the largest excess measure, the bound its limit. */
export function compare(
  got: ArrayLike<number>,
  reference: ArrayLike<number>,
  rule: Rule,
): Omit<ConformRow, 'tensor'> {
  const failed = (note: string, error = Number.NaN) => ({
    error,
    bound: Number.NaN,
    pass: false,
    note,
  });
  if (got.length !== reference.length) {
    return failed(`expected ${reference.length} numbers, got ${got.length}`);
  }
  if (got.length === 0) return failed('nothing to compare');
  if (rule.error === 'either') {
    const outcomes = rule.anyOf.map((one) => compare(got, reference, one));
    return outcomes.find(({ pass }) => pass) ?? outcomes[0] ?? failed('its rule is empty');
  }
  const values = Array.from(reference);
  const errors = values.map((value, i) => Math.abs(Number(got[i]) - value));
  // A non-finite number on either side is never within a bound.
  const broken = errors.find((error) => !Number.isFinite(error));
  if (broken !== undefined) return failed('not finite', broken);
  const within = (error: number, bound: number) => ({ error, bound, pass: error <= bound });
  switch (rule.error) {
    case 'elementwise': {
      const rows = values.map((value, i) =>
        within(errors[i] ?? 0, rule.atol + rule.rtol * Math.abs(value)),
      );
      return rows.reduce((worst, row) =>
        row.error - row.bound > worst.error - worst.bound ? row : worst,
      );
    }
    case 'max':
      return within(largest(errors), rule.atol + rule.rtolOfMax * largest(values.map(Math.abs)));
    case 'relativeL2':
      return within(norm(errors) / Math.max(norm(values), rule.normFloor), rule.max);
  }
}

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

function norm(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}
