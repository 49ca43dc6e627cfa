import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { UserError } from '../core/errors.js';
import { packageRoot } from '../core/package-root.js';
import {
  findLauncher,
  joinProcesses,
  type Processes,
  type StartedProcess,
} from '../processes/index.js';
import { shellWords } from './arguments.js';
import { exitCodes, type Outcome } from './command.js';

/** Tells the first process that a line on its input asks it to stop. */
const stopByInput = 'TARFLOW_STOP_BY_INPUT';

/**
 * Runs this command in several processes of this machine, each with its share of the threads.
 * Control-C asks them to stop and save; a second one ends them.
 *
 * @param out the folder of the run, for what to do where a process ends
 * @throws UserError where there is no MPI, and where a process was killed
 */
export async function startProcesses(count: number, out: string): Promise<Outcome> {
  const { words, env } = findLauncher(count);
  const [mpirun, ...before] = words;
  const bin = path.join(packageRoot(), 'src', 'cli', 'bin.js');
  const child = spawn(mpirun, [...before, process.execPath, bin, ...process.argv.slice(2)], {
    stdio: ['pipe', 'inherit', 'inherit'],
    // Control-C is for this process, which asks the others to save.
    detached: true,
    env: { ...env, [stopByInput]: '1' },
  });
  let asked = false;
  const interrupt = () => {
    if (asked) child.kill();
    else child.stdin.write('stop\n');
    asked = true;
  };
  const end = () => child.kill();
  process.on('SIGINT', interrupt).once('SIGTERM', end);
  child.stdin.on('error', () => {});
  const [code, signal] = await once(child, 'exit');
  process.off('SIGINT', interrupt).off('SIGTERM', end);
  const told: number[] = Object.values(exitCodes);
  if (told.includes(code)) return { json: undefined, text: '', exitCode: code };
  const resume = ['npx', 'tarflow', 'train', '--out', out, '--resume', '--processes', `${count}`];
  throw new UserError(
    `A process of the training ended before it was done (${signal ?? `exit code ${code}`})`,
    `Go on from the state that was saved last: ${shellWords(resume)}`,
  );
}

/** So long another process waits with its error for the first one, which most likely has the same. */
const precedence = 2000;

/**
 * Does the work of one of several processes. What it throws is said, and ends all of them.
 * @param asked how many processes an option asked for
 */
export async function withOthers(
  started: StartedProcess,
  asked: number | undefined,
  work: (processes: Processes) => Promise<Outcome>,
): Promise<Outcome> {
  if (asked !== undefined && asked !== started.size) {
    throw new UserError(
      `--processes ${asked} came where ${started.by} has started ${started.size}`,
      'Leave it out',
    );
  }
  const processes = joinProcesses(started);
  const { stdin, env } = process;
  const stop = () => processes.stop();
  if (processes.rank === 0 && env[stopByInput]) stdin.once('data', stop);
  try {
    const outcome = await work(processes);
    await processes.leave();
    return processes.rank === 0 ? outcome : { ...outcome, json: undefined, text: '' };
  } catch (error) {
    if (processes.rank > 0) await setTimeout(precedence);
    console.error(error instanceof UserError ? `tarflow: ${error.message}` : error);
    processes.abort(error instanceof UserError ? exitCodes.userMistake : exitCodes.unexpected);
    throw error;
  } finally {
    stdin.off('data', stop).pause();
  }
}
