import * as fs from 'node:fs';
import * as path from 'node:path';

/** Which of several processes this one is, as what started it says. */
export interface StartedProcess {
  rank: number;
  size: number;
  /** What says so, for errors. */
  by: string;
}

/** In which variables a process finds its rank, and how many there are. */
const starters = [
  { by: "Open MPI's mpirun", rank: 'OMPI_COMM_WORLD_RANK', size: 'OMPI_COMM_WORLD_SIZE' },
  { by: "MPICH's mpirun", rank: 'PMI_RANK', size: 'PMI_SIZE' },
  // Set for what srun starts, and not in a batch script itself.
  { by: 'srun', rank: 'SLURM_PROCID', size: 'SLURM_STEP_NUM_TASKS' },
];

/** Which of the processes that mpirun or srun started this one is; undefined where it is alone. */
export function startedProcess(env: NodeJS.ProcessEnv = process.env): StartedProcess | undefined {
  const all = starters.map(({ by, rank, size }) => ({
    ...{ by, rank: Number(env[rank] || 'none'), size: Number(env[size]) },
  }));
  return all.find(({ rank, size }) => Number.isInteger(rank) && size > 1);
}

/**
 * MPI's library by its binary interface: Open MPI 4 and 5; MPICH and its kin (Intel MPI, MVAPICH), also
 * as Debian calls it. `libmpi.so` itself is of either, and a text file in some packages.
 */
const [ofOpenMpi, ofMpich] = [['libmpi.so.40'], ['libmpi.so.12', 'libmpich.so.12']];

/** Where MPI's library may be: named by TARFLOW_MPI, or beside the mpirun on the PATH, or the system's. */
export function mpiLibraries({ by }: StartedProcess, env: NodeJS.ProcessEnv): string[] {
  if (env.TARFLOW_MPI) return [env.TARFLOW_MPI];
  const names = by.startsWith('MPICH') ? [...ofMpich, ...ofOpenMpi] : [...ofOpenMpi, ...ofMpich];
  const mpirun = (env.PATH ?? '')
    .split(path.delimiter)
    .map((folder) => path.join(folder, 'mpirun'))
    .find((file) => fs.existsSync(file));
  const beside = mpirun ? [path.resolve(fs.realpathSync(mpirun), '..', '..', 'lib')] : [];
  return [...beside.flatMap((folder) => names.map((name) => path.join(folder, name))), ...names];
}
