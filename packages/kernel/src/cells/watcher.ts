import { Session } from 'node:inspector';
import { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { descriptors, LineReader } from '../pipes.js';
import { Signals } from './signals.js';

/**
 * The thread that hears of interrupts when the thread of the cells is too busy to, and that ends the
 * process with its parent.
 */
const signals = new Signals(workerData as SharedArrayBuffer);

/** Milliseconds after which a thread that has not heard of an interrupt is busy. */
const patience = 100;
const interval = 25;

/** While one stop by force may still work, no other is begun. */
const betweenStops = 200;

let watching: NodeJS.Timeout | undefined;

const pipe = new Socket({ fd: descriptors.interrupts });
const reader = new LineReader<number>();
pipe.on('data', (piece) => {
  for (const cell of reader.read(piece)) {
    signals.ask();
    parentPort?.postMessage(cell);
  }
  if (watching === undefined) watch();
});
const end = () => process.kill(process.pid, 'SIGKILL');
pipe.on('close', end);
pipe.on('error', end);

/** Waits until the interrupts are heard; whoever is too busy to hear is stopped by force. */
function watch(): void {
  const begun = performance.now();
  let stopped = Number.NEGATIVE_INFINITY;
  watching = setInterval(() => {
    const { asked, heard } = signals;
    if (heard >= asked) {
      clearInterval(watching);
      watching = undefined;
      return;
    }
    // The second of two interrupts means it.
    const gentle = asked - heard < 2 && (signals.listened || signals.guarded);
    const now = performance.now();
    if (gentle || now - begun < patience || now - stopped < betweenStops) return;
    stopped = now;
    stopByForce();
  }, interval);
}

/** Ends what runs in the thread of the cells, down to the event loop. */
function stopByForce(): void {
  const session = new Session();
  session.connectToMainThread();
  session.post('Runtime.terminateExecution', () => session.disconnect());
}
