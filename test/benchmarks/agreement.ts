import { type Case, takesMinutes } from './cases.js';
import { relativeDifference } from './statistics.js';

/**
 * What one run of a case gives on a side, by name: `loss` or `images`, and after a training step
 * AdamW's state, `parameters.*`, `first.*` and `second.*`. The peer has a result for each way to run
 * that it may be measured in, `images/cache grown` for example.
 */
export type Results = Record<string, { data: ArrayLike<number> }>;

/** How two sides' results are compared. */
export interface Comparison {
  /** Largest relative difference of what matrix products make. */
  tolerance: number;
  learningRate: number;
  /** What a small step changed: that change is compared, beside which all else is large. */
  input?: ArrayLike<number> | undefined;
}

/** How far the sides are apart in one respect, and how far they may be. */
export interface Difference {
  what: string;
  value: number;
  limit: number;
}

/** In learning rates. Rounding to float32 moves a parameter of size 1 by a hundredth of 1e-5. */
const largestDifferenceOfSteps = 0.1;

/**
 * How far the two sides' results are apart.
 *
 * After one training step from moments of zero, the first moments are the gradient and the second
 * ones its square, but for a factor: so the very program that is timed shows its gradient. Relative
 * differences are ‖ours − peer's‖ / ‖peer's‖, the largest over the tensors, and twice as large may
 * be those of squares. The parameters are another matter: whatever the size of its gradient, Adam's
 * first step moves an entry by the learning rate, and where the gradient is nothing but rounding,
 * this way or that. So they are compared where it is at least half of its tensor's root mean square,
 * and the differences are in learning rates.
 */
export function differences(
  ours: Results,
  peer: Results,
  { tolerance, learningRate, input }: Comparison,
): Difference[] {
  const found = new Map<string, Difference>();
  const note = (what: string, value: number, limit: number) => {
    found.set(what, { what, value: Math.max(found.get(what)?.value ?? 0, value), limit });
  };
  for (const [name, { data }] of Object.entries(peer)) {
    const [result] = name.split('/') as [string];
    const mine = ours[result]?.data ?? [];
    const [kind, parameter] = split(result);
    if (kind === 'parameters') {
      const gradient = peer[`first.${parameter}`]?.data ?? [];
      note(
        'steps',
        differenceOfSteps(mine, data, gradient) / learningRate,
        largestDifferenceOfSteps,
      );
    } else if (kind === 'first') {
      note('gradients', relativeDifference(mine, data), tolerance);
    } else if (kind === 'second') {
      note('their squares', relativeDifference(mine, data), 2 * tolerance);
    } else {
      note(result, relativeDifference(less(mine, input), less(data, input)), tolerance);
    }
  }
  return [...found.values()];
}

/** Whether there is something to compare and it is the same on both sides, but for rounding. */
export function agree(found: readonly Difference[]): boolean {
  return found.length > 0 && found.every(({ value, limit }) => value <= limit);
}

/**
 * What to compare so that all that is measured has been, each once: the cases as they are, but 8
 * images where the sampling of more takes minutes.
 */
export function comparisons(cases: readonly Case[]): Case[] {
  const distinct = cases.map((given) => {
    const { workload, config, precision, mode } = given;
    const long = /sampling/.test(workload) && takesMinutes(given);
    const batch = long ? Math.min(given.batch, 8) : given.batch;
    const key = JSON.stringify([workload, config, batch, precision, mode]);
    return [key, { ...given, batch }] as const;
  });
  return [...new Map(distinct).values()];
}

function less(values: ArrayLike<number>, input: ArrayLike<number> | undefined): ArrayLike<number> {
  return input ? Array.from(values, (value, i) => value - (input[i] as number)) : values;
}

/** `first.blocks.0.proj_in.bias` as `first` and the rest. */
function split(name: string): [string, string] {
  const dot = name.indexOf('.');
  return dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot + 1)];
}

/** The largest difference of two tensors where a gradient, or a multiple of it, is not small. */
function differenceOfSteps(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  gradient: ArrayLike<number>,
): number {
  if (a.length !== b.length || gradient.length !== b.length) return Number.POSITIVE_INFINITY;
  let squares = 0;
  for (let i = 0; i < b.length; i++) squares += (gradient[i] as number) ** 2;
  const small = Math.sqrt(squares / b.length) / 2;
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    if (Math.abs(gradient[i] as number) < small) continue;
    largest = Math.max(largest, Math.abs((a[i] as number) - (b[i] as number)));
  }
  return largest;
}
