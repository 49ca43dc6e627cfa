import type { EngineName } from '../../src/core/engine.js';

/**
 * How a figure comes out again.
 *
 * `exact`: a count, or a number that is zero by construction.
 * `computed`: from a model that `results/` keeps, or from random weights.
 * `sensitive`: computed, and it hangs on the last digits: a count of iterations that stop at a tolerance, a
 * rate near rounding. It changes with the kind of processor.
 * `trained`: from a model that a cell trains.
 * `rounding`: itself an error of rounding, or of an iteration that was stopped: only its order of
 * magnitude means something.
 * `timing`: a time, or what depends on one: never judged.
 */
export type Agreement = 'exact' | 'computed' | 'sensitive' | 'trained' | 'rounding' | 'timing';

/** In what matrix products are computed: `tf32` is what a CUDA device may make of float32. */
export type ComputedIn = 'float32' | 'tf32' | 'bfloat16';

/** The largest difference from the committed figure, as a share of it. */
export type Tolerances = Readonly<Record<Exclude<Agreement, 'timing'>, number>>;

/**
 * By engine and precision. From one kind of processor, or version, to another, sensitive figures may
 * differ by more. Measured were: up to 0.3 % where samples are guided with a weight of 16, 0.05 % for the
 * inverse of flows of narrow noise, 5 % for rates of convergence near rounding, one image in a share of
 * 5,000. Where one version was run on several kinds of processors, a claim keeps such a figure of each,
 * and a run is judged by that of its own kind. Combinations that are not listed were not compared yet,
 * and are not judged.
 */
const known: Partial<Record<EngineName, Partial<Record<ComputedIn, Tolerances>>>> = {
  tensorflow: {
    float32: { exact: 0, computed: 1e-5, sensitive: 0.05, trained: 1e-3, rounding: 3 },
  },
};

/** The tolerances of an engine in a precision, or undefined where none is known. */
export function tolerancesOf(engine: EngineName, precision: ComputedIn): Tolerances | undefined {
  return known[engine]?.[precision];
}

/**
 * The largest difference from a committed figure that counts as the same figure.
 *
 * @param committed the figure as it is kept
 * @returns undefined where it is not judged: for a time, and where no tolerance is known
 */
export function allowedDifference(
  agreement: Agreement,
  committed: number,
  tolerances: Tolerances | undefined,
): number | undefined {
  if (agreement === 'timing' || !tolerances) return undefined;
  return tolerances[agreement] * Math.abs(committed);
}
