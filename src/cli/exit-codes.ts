/** What `tarflow` returns to the shell. */
export const exitCodes = {
  done: 0,
  checkFailed: 1,
  userMistake: 2,
  /** A bug: its stack trace is shown. */
  unexpected: 3,
  /** Stopped by Control-C, as shells count it. */
  interrupted: 130,
} as const;

/** How a command tells its exit code, where that is not 0. */
export type SetExitCode = (code: number) => void;
