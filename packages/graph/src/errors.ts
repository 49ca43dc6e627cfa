/**
 * An error that a user can cause and correct: it says what came and what to do. A program may show it
 * without a stack trace.
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

function sentence(text: string): string {
  const trimmed = text.trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
