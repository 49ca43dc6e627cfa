// Several processes of this machine, by MPI's mpirun.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { openMpiPlaces } from '../steps/openmpi.mjs';
import { cacheFolder, findProgram, projectRoot } from './places.mjs';

/**
 * What starts processes, and MPI's library where it is known.
 *
 * @typedef {{ mpirun: string, library?: string }} FoundMpi
 */

/**
 * The mpirun beside the library of TARFLOW_MPI, or the one on the PATH, or the one that was fetched.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {FoundMpi | undefined}
 */
export function findMpi(env) {
  const onPath = findProgram('mpirun', env);
  const { TARFLOW_MPI: named } = env;
  if (named) {
    const beside = path.resolve(named, '..', '..', 'bin', 'mpirun');
    const mpirun = existsSync(beside) ? beside : onPath;
    return mpirun ? { mpirun, library: named } : undefined;
  }
  if (onPath) return { mpirun: onPath };
  const fetched = openMpiPlaces(cacheFolder(env));
  return existsSync(fetched.mpirun) && existsSync(fetched.library) ? fetched : undefined;
}

/** For Open MPI. More processes than processors are slow, and right; in containers all is root's. */
const variables = {
  PRTE_MCA_rmaps_default_mapping_policy: ':oversubscribe',
  PRTE_MCA_hwloc_default_binding_policy: 'none',
  OMPI_MCA_rmaps_base_oversubscribe: '1',
  OMPI_MCA_hwloc_base_binding_policy: 'none',
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  PRTE_ALLOW_RUN_AS_ROOT: '1',
  PRTE_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
};

/**
 * Starts a program of Node.js in several processes, each with its share of the threads. They are in a
 * group of their own, which Control-C does not reach.
 *
 * @param {FoundMpi} mpi
 * @param {number} count
 * @param {readonly string[]} words Node's options, the program, its arguments
 * @param {NodeJS.ProcessEnv} env
 */
export function spawnProcesses({ mpirun, library }, count, words, env) {
  const threads = String(Math.max(1, Math.floor(availableParallelism() / count)));
  return spawn(mpirun, ['-n', String(count), process.execPath, ...words], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: {
      ...{ TF_NUM_INTRAOP_THREADS: threads, TF_NUM_INTEROP_THREADS: threads, ...variables },
      ...env,
      ...(library && { TARFLOW_MPI: library }),
    },
  });
}

/**
 * Passes lines on, but for what MPI frames by lines of dashes: where a process has said what is wrong, that
 * tells once more that it ended.
 *
 * @param {NodeJS.ReadableStream} from
 * @param {NodeJS.WritableStream} to
 * @returns {string[]} lines that were kept back
 */
export function withoutBanners(from, to) {
  /** @type {string[]} */
  const banners = [];
  let [rest, within] = ['', false];
  const pass = (/** @type {string} */ line) => {
    const isFrame = /^-{70,}\s*$/.test(line);
    if (isFrame || within) banners.push(line);
    else to.write(line);
    if (isFrame) within = !within;
  };
  from.setEncoding('utf8');
  from.on('data', (text) => {
    const lines = (rest + text).split(/(?<=\n)/);
    rest = lines.at(-1)?.endsWith('\n') ? '' : (lines.pop() ?? '');
    for (const line of lines) pass(line);
  });
  from.on('end', () => rest && pass(rest));
  return banners;
}

/** What `tarflow` returns to the shell where it has said all; any other status is of a process that died. */
const told = [0, 1, 2, 3, 130];

/** What asks for an end: Control-C, `kill`, and a terminal that closes. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs `tarflow` in several processes until they end. A signal asks the first one, by a line on its input, to
 * stop and save; a second one ends all.
 *
 * @param {number} count
 * @param {readonly string[]} words behind `tarflow`
 * @param {string} out the folder of the run
 * @returns {Promise<{ exitCode: number } | { problem: string, remedy: string }>}
 */
export async function trainTogether(count, words, out) {
  const mpi = findMpi(process.env);
  if (!mpi) {
    return {
      problem: `Several processes need MPI, and there is no mpirun on the PATH${
        process.env.TARFLOW_MPI ? ', nor beside the library that TARFLOW_MPI names' : ''
      }`,
      remedy:
        'Run `npx tarflow setup mpi`, which fetches Open MPI (7 MB), or load the MPI of your cluster',
    };
  }
  const bin = path.join(projectRoot, 'src', 'cli', 'bin.js');
  // src/cli/together.ts reads it: whose end is the training's, too.
  const env = { ...process.env, TARFLOW_STARTER: String(process.pid) };
  const child = spawnProcesses(mpi, count, [bin, ...words], env);
  child.stdout.pipe(process.stdout);
  const banners = withoutBanners(child.stderr, process.stderr);
  child.stdin.on('error', () => {});
  let asked = false;
  const interrupt = () => {
    if (asked) child.kill();
    else child.stdin.write('stop\n');
    asked = true;
  };
  for (const signal of signals) process.on(signal, interrupt);
  const [code] = await once(child, 'close');
  for (const signal of signals) process.off(signal, interrupt);
  if (told.includes(code)) return { exitCode: code };
  process.stderr.write(banners.join(''));
  const why = code === null ? 'mpirun was killed' : `exit status ${code}`;
  return {
    problem: `A process of the training ended before it was done (${why})`,
    remedy: `Go on from the state that was saved last: npx tarflow train --out '${out}' --resume --processes ${count}`,
  };
}
