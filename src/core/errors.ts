import { UserError } from '@tarflow/graph';

export { UserError };

/**
 * What long work throws that an interrupt stopped, by the stop button of a notebook or by Control-C. The
 * command line shows it without a stack trace (exit code 130).
 *
 * @example
 * ```ts
 * import { Interruption } from 'tarflow';
 * import { untilInterrupted } from 'tarflow/workbook';
 *
 * const work = async (signal: AbortSignal) => {
 *   for (let i = 0; i < 10; i++) signal.throwIfAborted();
 *   return 'done';
 * };
 * console.log(await untilInterrupted(work).catch((error) => {
 *   if (!(error instanceof Interruption)) throw error;
 *   return 'stopped';
 * }));
 * ```
 */
export class Interruption extends UserError {
  override readonly name = 'Interruption';

  /** @param remedy how to go on */
  constructor(
    problem = 'This was stopped',
    remedy = 'Do the same again, and what was kept of it is not done anew',
  ) {
    super(problem, remedy);
  }
}
