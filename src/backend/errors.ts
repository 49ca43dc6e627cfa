/**
 * An error that a user can cause and correct: it says what came and what to do. The command line
 * shows it without a stack trace (exit code 2).
 *
 * @example
 * ```ts
 * import { loadDataset, UserError } from 'tarflow';
 *
 * try {
 *   await loadDataset('mnist', 'test');
 * } catch (error) {
 *   if (!(error instanceof UserError)) throw error;
 *   console.log(error.problem, error.remedy);
 * }
 * ```
 */
export class UserError extends Error {
  override readonly name: string = 'UserError';

  /**
   * @param problem what came, where, and for what
   * @param remedy what was expected, or what to do
   */
  constructor(
    readonly problem: string,
    readonly remedy: string,
  ) {
    super(`${sentence(problem)} ${sentence(remedy)}`);
  }
}

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

function sentence(text: string): string {
  const trimmed = text.trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
