import path from 'node:path';
import { withLock } from './files.mjs';
import { cacheFolder, projectRoot } from './places.mjs';
import { Progress } from './progress.mjs';

/**
 * What every step of set-up is told.
 *
 * @typedef {object} Context
 * @property {string} root the project's folder
 * @property {string} cache the cache folder
 * @property {NodeJS.ProcessEnv} env
 * @property {import('./progress.mjs').Progress} progress
 */

/**
 * One step of set-up. `isDone` answers in milliseconds and looks at the result itself, so that a
 * step is repeated when somebody deleted or changed what it made; `run` leaves either the whole
 * result or nothing.
 *
 * @typedef {object} Step
 * @property {string} title
 * @property {(context: Context) => boolean} isDone
 * @property {(context: Context) => Promise<void>} run
 */

/** @returns {Context} */
export function newContext() {
  return { root: projectRoot, cache: cacheFolder(), env: process.env, progress: new Progress() };
}

/**
 * Runs, in order, the steps that are not done. Of several processes that share a cache one runs a step, and
 * the others wait, and find it done.
 *
 * @param {readonly Step[]} steps
 * @param {Context} context
 * @returns {Promise<number>} how many had to run
 */
export async function runSteps(steps, context) {
  let count = 0;
  for (const step of steps) {
    if (step.isDone(context)) continue;
    context.progress.start(step.title);
    const lock = path.join(context.cache, 'locks', step.title.replaceAll(/\W+/g, '-'));
    try {
      await withLock(lock, async () => {
        if (!step.isDone(context)) await step.run(context);
      });
    } catch (error) {
      context.progress.fail();
      throw error;
    }
    context.progress.finish();
    count += 1;
  }
  return count;
}
