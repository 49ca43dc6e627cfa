/**
 * A mistake that a user can make and mend: it says what came and what to do, and the command line
 * shows it without a stack trace (exit code 2).
 */
export class UserError extends Error {
  override readonly name: string = 'UserError';

  /**
   * @param problem what came, with the name of the thing and its place
   * @param remedy what was expected, or what to do now
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
