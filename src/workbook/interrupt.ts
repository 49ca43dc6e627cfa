/**
 * Runs long work that the user can stop: the signal is aborted by the stop button of a notebook,
 * or by Control-C in a terminal. The work must look at the signal between steps and return what it
 * has, or throw. A second interrupt is not caught, so Control-C twice always ends the process.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  // In a notebook a listener that is registered before the cell's first await kills the kernel.
  await new Promise((resolve) => setImmediate(resolve));
  const controller = new AbortController();
  const abort = () => controller.abort();
  process.once('SIGINT', abort);
  try {
    return await work(controller.signal);
  } finally {
    process.off('SIGINT', abort);
  }
}
