import { Interruption } from '../core/errors.js';
import { inNotebook } from './display.js';

/**
 * Runs long work that the user can stop: the stop button of a notebook, or Control-C in a terminal,
 * aborts the signal. The work has to check the signal between steps and then return what it has, or
 * throw the signal's reason, an `Interruption`. A second interrupt is not caught, so Control-C twice always ends the process.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  // A listener that is registered before the first `await` of a notebook cell kills the kernel.
  await new Promise((resolve) => setImmediate(resolve));
  const controller = new AbortController();
  const abort = () => controller.abort(new Interruption());
  // A terminal that closes and a cluster that stops a job ask in their own ways. Notebooks end by SIGTERM.
  const signals = inNotebook() ? ['SIGINT'] : ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of signals) process.once(name, abort);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of signals) process.off(name, abort);
  }
}
