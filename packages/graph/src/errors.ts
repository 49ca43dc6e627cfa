/**
 * An error that a user can cause and correct: it says what came and what to do. A program may show it
 * without a stack trace.
 */
export class UserError extends Error {
  /** That of the class, also of one that extends this. */
  override readonly name: string = this.constructor.name;

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
