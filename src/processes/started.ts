/** Which of several processes this one is, as what started it says. */
export interface StartedProcess {
  rank: number;
  size: number;
  /** What says so, for errors. */
  by: string;
}

/** In which variables mpirun or srun tell a process its rank, and how many there are. */
const variables = [
  { by: "Open MPI's mpirun", rank: 'OMPI_COMM_WORLD_RANK', size: 'OMPI_COMM_WORLD_SIZE' },
  { by: "MPICH's mpirun", rank: 'PMI_RANK', size: 'PMI_SIZE' },
  // Slurm sets the number of a step's tasks for what srun starts, and not in a batch script itself.
  { by: 'srun', rank: 'SLURM_PROCID', size: 'SLURM_STEP_NUM_TASKS' },
];

/** Which of the processes that mpirun or srun started this one is; undefined where it is alone. */
export function startedProcess(env: NodeJS.ProcessEnv = process.env): StartedProcess | undefined {
  for (const { by, ...names } of variables) {
    const [rank, size] = [Number(env[names.rank] || 'none'), Number(env[names.size] || 'none')];
    if (Number.isInteger(rank) && size > 1) return { rank, size, by };
  }
  return undefined;
}
