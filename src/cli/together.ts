import * as path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { joinProcesses, type Processes, type StartedProcess } from '@tarflow/graph';
import { UserError } from '../core/errors.js';
import { packageRoot } from '../core/package-root.js';
import { isThere } from '../training/run-lock.js';
import { exitCodes, type Outcome } from './command.js';

/** What of data-scripts/lib/processes.mjs is used here. */
interface Script {
  trainTogether(
    count: number,
    words: readonly string[],
    out: string,
  ): Promise<{ exitCode: number } | { problem: string; remedy: string }>;
}

/**
 * Runs this command in several processes of this machine, into a folder.
 * @throws UserError where there is no MPI, and where a process was killed
 */
export async function startProcesses(count: number, out: string): Promise<Outcome> {
  const file = path.join(packageRoot(), 'data-scripts', 'lib', 'processes.mjs');
  const { trainTogether }: Script = await import(pathToFileURL(file).href);
  const ended = await trainTogether(count, process.argv.slice(2), out);
  if ('problem' in ended) throw new UserError(ended.problem, ended.remedy);
  return { json: undefined, text: '', exitCode: ended.exitCode };
}

/** So long another process waits with its error for the first one, which most likely has the same. */
const precedence = 2000;

/** Does the work of one of several processes. What it throws is said, and ends all of them. */
export async function withOthers(
  started: StartedProcess,
  work: (processes: Processes) => Promise<Outcome>,
): Promise<Outcome> {
  const processes = joinProcesses(started);
  const isFirst = processes.rank === 0;
  const { stdin } = process;
  const starter = isFirst ? Number(process.env.TARFLOW_STARTER) : 0;
  const stop = (): void => processes.stop();
  // A line of what started these, or its end: the user wants them to stop.
  if (starter) stdin.once('data', stop);
  const watch = starter ? setInterval(() => isThere(starter) || stop(), 1000) : undefined;
  try {
    const outcome = await work(processes);
    await processes.leave();
    return isFirst ? outcome : { ...outcome, json: undefined, text: '' };
  } catch (error) {
    if (!isFirst) await setTimeout(precedence);
    console.error(error instanceof UserError ? `tarflow: ${error.message}` : error);
    processes.abort(error instanceof UserError ? exitCodes.userMistake : exitCodes.unexpected);
    throw error;
  } finally {
    clearInterval(watch);
    stdin.off('data', stop).pause();
  }
}
