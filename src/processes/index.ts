/** Several processes that work together, by MPI. */
export { joinProcesses, type Processes } from './processes.js';
export { type StartedProcess, startedProcess } from './start.js';
