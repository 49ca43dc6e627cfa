/** Several processes that work together, by MPI. */
export { findLauncher } from './find-mpi.js';
export { joinProcesses, type Processes } from './processes.js';
export { type StartedProcess, startedProcess } from './started.js';
