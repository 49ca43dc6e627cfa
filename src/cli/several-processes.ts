import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as os from 'node:os';
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

/** What the processes have to be told of MPI: nothing of it is needed by users of mpirun. */
const variablesOfMpi = {
  // More processes than processors are slow, and right; threads are shared out here.
  PRTE_MCA_rmaps_default_mapping_policy: ':oversubscribe',
  PRTE_MCA_hwloc_default_binding_policy: 'none',
  OMPI_MCA_rmaps_base_oversubscribe: '1',
  OMPI_MCA_hwloc_base_binding_policy: 'none',
  // In containers everybody is root.
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  PRTE_ALLOW_RUN_AS_ROOT: '1',
  PRTE_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
};

/**
 * Runs this command in several processes of this machine, each with its share of the threads.
 * Control-C asks them to stop and save; a second one ends them.
 *
 * @param out the folder of the run, for what to do where a process ends
 * @throws UserError where there is no MPI, and where a process was killed
 */
export async function startProcesses(count: number, out: string): Promise<Outcome> {
  const { mpirun, env } = findLauncher();
  const threads = String(Math.max(1, Math.floor(os.availableParallelism() / count)));
  const bin = path.join(packageRoot(), 'src', 'cli', 'bin.js');
  const command = [process.execPath, bin, ...process.argv.slice(2)];
  const child = spawn(mpirun, ['-n', String(count), ...command], {
    stdio: ['pipe', 'inherit', 'inherit'],
    // Control-C is for this process, which asks the others to save.
    detached: true,
    env: {
      ...{ TF_NUM_INTRAOP_THREADS: threads, TF_NUM_INTEROP_THREADS: threads },
      ...variablesOfMpi,
      ...process.env,
      ...env,
      [stopByInput]: '1',
    },
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
