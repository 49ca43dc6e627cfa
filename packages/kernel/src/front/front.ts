import { Desk } from './desk.js';
import { openLimits, serverLimits } from './outputs.js';
import { readConnection, Sockets } from './sockets.js';

/** How often the kernel looks whether the program that started it is still there. */
const parentInterval = 1000;

/**
 * Starts the kernel, as Jupyter does by the kernelspec.
 *
 * @param connectionFile Jupyter's description of the sockets
 */
export function startKernel(connectionFile: string | undefined): void {
  if (connectionFile === undefined) {
    console.error('Expected the path of a connection file. Jupyter starts the kernel with one.');
    process.exitCode = 2;
    return;
  }
  const connection = readConnection(connectionFile);
  // A server names the notebook of a session; a program that runs notebooks does not.
  const limits = process.env.JPY_SESSION_NAME === undefined ? openLimits : serverLimits;
  const desk = new Desk(limits, leave);
  process.on('SIGINT', () => desk.interrupt());
  process.on('SIGTERM', () => desk.close());
  process.on('SIGHUP', () => desk.close());
  watchParent(desk);
  Sockets.open(connection, desk).then(
    (sockets) => desk.begin(sockets),
    (error) => {
      console.error(error);
      desk.close(1);
    },
  );
}

/** Ends with the program that started it, also where that was killed. */
function watchParent(desk: Desk): void {
  if (process.env.JPY_PARENT_PID === undefined) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) desk.close();
  }, parentInterval).unref();
}

/** Ends the process, and what cells have started and left behind. */
function leave(status: number): void {
  if (process.platform !== 'win32') {
    process.on('SIGTERM', () => {});
    try {
      // Jupyter gives every kernel a group of its own; where it is another's, nothing has this number.
      process.kill(-process.pid, 'SIGTERM');
    } catch {
      // The group is not ours.
    }
  }
  // The last messages are on their way.
  setTimeout(() => process.exit(status), 100);
}
