/**
 * What went wrong outside the project's own code, in one sentence, and what its reader can do.
 * Anything else that is thrown is a bug and keeps its stack trace.
 */
export class SetupError extends Error {
  /**
   * @param {string} problem what is missing or failed, without a full stop
   * @param {string} remedy what to do, without a full stop
   * @param {string} [details] the last lines of the failing tool, printed below the sentence
   */
  constructor(problem, remedy, details) {
    super(`${problem}. ${remedy}.`);
    this.name = 'SetupError';
    this.problem = problem;
    this.remedy = remedy;
    this.details = details;
  }
}

/** A mistake in the arguments: a script ends with 2, as the library's commands do. */
export class ArgumentError extends SetupError {}

/**
 * The oldest Node.js that every dependency runs on; keep equal to `engines` in package.json.
 */
export const oldestNode = /** @type {const} */ ([20, 19]);

/**
 * Runs a script's main function: a {@link SetupError} becomes one sentence and exit code 1, an
 * {@link ArgumentError} 2.
 *
 * @param {() => Promise<number | undefined>} main resolves to the exit code, 0 when undefined
 */
export async function runMain(main) {
  try {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
    if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
      throw new SetupError(
        `Node.js ${process.versions.node} is too old`,
        `Install Node.js ${oldestNode.join('.')} or newer, then run the same command again`,
      );
    }
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`\n${error.message}`);
    if (error.details) console.error(`\n${error.details}`);
    process.exitCode = error instanceof ArgumentError ? 2 : 1;
  }
}
