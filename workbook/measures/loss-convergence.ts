/** A validation of a training, as a line of its log has it; lines without one are passed over. */
export interface ValidatedStep {
  step: number;
  validation?: { loss: number } | undefined;
}

/** How much the held-out loss still changed at the end of a training. */
export interface LossConvergence {
  /** The step at which the last fifth begins. */
  from: number;
  /** The step of the last validation, at which it ends. */
  to: number;
  /** The loss at the end minus that at the beginning, in its own unit; negative where it fell. */
  change: number;
  /** The largest difference of two losses of that stretch, over the absolute value of the last one. */
  share: number;
  /** Whether {@link share} is below {@link convergedBelow}. */
  converged: boolean;
}

/** A training has converged where its held-out loss changes by less than this over its last fifth. */
export const convergedBelow = 0.005;

/**
 * How much the held-out loss changed over the last fifth of a training, which ends with its last
 * validation. Where none was made at the beginning of that fifth, the loss there is taken to lie on the
 * line between the validations before and after it. A curve that falls ever more slowly lies below that
 * line, so that the change is more likely overstated than understated.
 *
 * The loss of a flow is a likelihood per dimension. It has no zero of its own: another unit of the data
 * or the constant ½·log 2π, which is left out here, moves it, and it may be near zero or below it. The
 * share is of its absolute value. Where that is small, the share is large and says little, and
 * {@link LossConvergence.change} is to be read instead.
 *
 * @param records of the log, in the order of their steps
 * @returns undefined where no validation was made between half of the training and that fifth, as where
 *   the loss was not finite for long, and where the last loss is zero or one of those losses is not finite
 *
 * @example
 * ```ts
 * import { lossConvergence, readCommittedRun } from 'tarflow/workbook';
 *
 * const { records } = await readCommittedRun('emoji-256-tokens');
 * console.log(lossConvergence(records)?.share);
 * ```
 */
export function lossConvergence(records: readonly ValidatedStep[]): LossConvergence | undefined {
  const validations = records.flatMap(({ step, validation }) =>
    validation ? [{ step, loss: validation.loss }] : [],
  );
  const last = validations.at(-1);
  if (!last) return undefined;
  const from = Math.floor(0.8 * last.step);
  const before = validations.filter(({ step }) => step <= from && step >= last.step / 2).at(-1);
  const within = validations.filter(({ step }) => step > from);
  const [after] = within;
  if (!before || !after) return undefined;
  const way = (from - before.step) / (after.step - before.step);
  const first = before.loss + way * (after.loss - before.loss);
  const losses = [first, ...within.map(({ loss }) => loss)];
  const share = (Math.max(...losses) - Math.min(...losses)) / Math.abs(last.loss);
  if (!Number.isFinite(share)) return undefined;
  return {
    from,
    to: last.step,
    change: last.loss - first,
    share,
    converged: share < convergedBelow,
  };
}
