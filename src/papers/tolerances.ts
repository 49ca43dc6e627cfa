import type { EngineName } from '../backend/engine.js';

/**
 * How a figure comes out again.
 *
 * `exact`: a count, or a number that is zero by construction.
 * `computed`: from a model that `results/` keeps, or from random weights.
 * `trained`: from a model that a cell trains.
 * `rounding`: itself an error of rounding, or of an iteration that was stopped: its size says
 * something, its digits nothing.
 * `timing`: a time, or what depends on one: never judged.
 */
export type Agreement = 'exact' | 'computed' | 'trained' | 'rounding' | 'timing';

/** In what matrix products are computed: `tf32` is what a CUDA device may make of float32. */
export type ComputedIn = 'float32' | 'tf32' | 'bfloat16';

/** The largest difference from the committed figure, as a share of it. */
export type Tolerances = Readonly<Record<Exclude<Agreement, 'timing'>, number>>;

/**
 * By engine and precision. From one kind of processor, or version, to another, sensitive figures may
 * differ by more: what depends on samples guided with a weight of 16 did by up to 0.3 %, on the inverse
 * of flows of narrow noise by 0.05 %, rates of convergence near rounding by 5 %, a share of 5,000 images
 * by one image. Where one version was run on several kinds of processors, a claim keeps such a figure of
 * each, and a run is judged by that of its own. What is not listed was not compared yet, and is not
 * judged.
 */
const known: Partial<Record<EngineName, Partial<Record<ComputedIn, Tolerances>>>> = {
  tensorflow: { float32: { exact: 0, computed: 1e-5, trained: 1e-3, rounding: 3 } },
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
