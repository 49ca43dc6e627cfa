import { z } from 'zod';
import { UserError } from '../../src/core/errors.js';
import { gsJacobiResults } from './conform-gs-jacobi.js';
import { starflowResults } from './conform-starflow.js';
import { tarflowResults } from './conform-tarflow.js';
import { type GoldenFile, type Results, readGolden } from './golden-file.js';

/** What the library computes for each kind of golden file. */
const computations: Record<string, (golden: GoldenFile) => Promise<Results>> = {
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
  const { kind, tensors: descriptions } = golden.description;
  const compute = computations[kind];
  if (!compute) {
    const known = Object.keys(computations).map((name) => `'${name}'`);
    throw new UserError(
      `${file}: kind '${kind}' is not supported yet`,
      `Expected ${known.join(' or ')}`,
    );
  }
  const results = await compute(golden);
  return Object.entries(descriptions)
    .filter(([, { role }]) => role === 'output')
    .map(([name, tensor]) => {
      const failed = (note: string): ConformRow => ({
        tensor: name,
        error: Number.NaN,
        bound: Number.NaN,
        pass: false,
        note,
      });
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
  if (got.length !== reference.length) {
    const note = `expected ${reference.length} numbers, got ${got.length}`;
    return { error: Number.NaN, bound: Number.NaN, pass: false, note };
  }
  if (got.length === 0) {
    return { error: Number.NaN, bound: Number.NaN, pass: false, note: 'nothing to compare' };
  }
  let [largest, square, referenceSquare, largestReference] = [0, 0, 0, 0];
  let elementwise = { error: 0, bound: 0, excess: Number.NEGATIVE_INFINITY };
  for (let i = 0; i < got.length; i++) {
    const value = reference[i] as number;
    const error = Math.abs((got[i] as number) - value);
    // A non-finite number on either side is never within a bound.
    if (!Number.isFinite(error)) {
      return { error, bound: Number.NaN, pass: false, note: 'not finite' };
    }
    largest = Math.max(largest, error);
    largestReference = Math.max(largestReference, Math.abs(value));
    square += error * error;
    referenceSquare += value * value;
    if (rule.error === 'elementwise') {
      const bound = rule.atol + rule.rtol * Math.abs(value);
      if (error - bound > elementwise.excess) elementwise = { error, bound, excess: error - bound };
    }
  }
  switch (rule.error) {
    case 'elementwise':
      return {
        error: elementwise.error,
        bound: elementwise.bound,
        pass: elementwise.error <= elementwise.bound,
      };
    case 'max': {
      const bound = rule.atol + rule.rtolOfMax * largestReference;
      return { error: largest, bound, pass: largest <= bound };
    }
    case 'relativeL2': {
      const norm = Math.max(Math.sqrt(referenceSquare), rule.normFloor);
      const error = Math.sqrt(square) / norm;
      return { error, bound: rule.max, pass: error <= rule.max };
    }
    case 'either': {
      const outcomes = rule.anyOf.map((one) => compare(got, reference, one));
      return outcomes.find(({ pass }) => pass) ?? (outcomes[0] as Omit<ConformRow, 'tensor'>);
    }
  }
}
