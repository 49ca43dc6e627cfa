import { Socket } from 'node:net';
import * as path from 'node:path';
import { Worker } from 'node:worker_threads';
import { descriptors, LineReader, type Request } from '../pipes.js';
import { Answers } from './answers.js';
import { type Cell, cellOf, currentCell, followPromises, forgetContext } from './cell.js';
import { replaceCompiler } from './compiler.js';
import { EsPackages } from './es-packages.js';
import { followListeners, throwerOf } from './listeners.js';
import { LocalModules } from './local-modules.js';
import { Running } from './running.js';
import { emitInterrupt, ownInterrupts, Signals } from './signals.js';
import { Reports, refuseInput } from './streams.js';
import { followTimers } from './timers.js';
import { failureOf, mapStacks } from './traceback.js';
import { loadTslab } from './tslab.js';

/** The process of the cells: it reads requests from one pipe and writes reports to another. */
const signals = new Signals();
const watcher = new Worker(path.join(__dirname, 'watcher.js'), { workerData: signals.memory });
let running: Running | undefined;

const cellNow = (): number => (currentCell() ?? running?.latest)?.id ?? 0;
const reports = new Reports(signals, cellNow);

/** What nobody caught is shown below the cell that made it. */
function reportUncaught(what: string, error: unknown, cell: Cell | undefined): void {
  const text = `${what}: ${failureOf(error).traceback.join('\n')}\n`;
  reports.text('stderr', text, cell?.id ?? cellNow());
}

function begin(): Running {
  const strict = /^(1|true|yes)$/.test(process.env.TARFLOW_KERNEL_STRICT ?? '');
  const watched = replaceCompiler({ strict });
  const tslab = loadTslab();
  const local = new LocalModules(watched.typescript);
  const packages = new EsPackages(watched.typescript);
  const made = new Running(tslab, watched, local, packages, signals, reports);
  tslab.jupyter.lastWriteDisplayData = (shown, update) =>
    reports.send({ type: 'display', cell: cellNow(), update: update === true, shown });
  // What the kernel offers to libraries beyond what tslab does.
  Object.defineProperty(globalThis, Symbol.for('tarflow.kernel'), {
    value: {
      /** Removes what the cell has shown; with `wait`, when it shows something next. */
      clearOutput: (wait: boolean) => reports.send({ type: 'clear', cell: cellNow(), wait }),
    },
  });
  // The converter is made when it is first asked for: now, and not by the first cell.
  made.executor.complete('', 0);
  const answers = new Answers(tslab, made.executor, watched.typescript);
  const next = async (request: Request): Promise<void> => {
    if (request.type === 'run') return made.execute(request);
    reports.send({
      type: 'answer',
      question: request.question,
      content: signals.guard(() => answers.to(request)),
    });
  };
  const reader = new LineReader<Request>();
  const pipe = new Socket({ fd: descriptors.requests });
  pipe.on('data', (piece) => {
    forgetContext();
    for (const request of reader.read(piece)) {
      next(request).catch((error) => reportUncaught('The kernel failed', error, undefined));
    }
  });
  pipe.on('close', () => process.exit(0));
  return made;
}

function onInterrupt(id: number): void {
  signals.unguard();
  signals.hear();
  const cell = running?.runningOrNever(id);
  if (!running || !cell) return;
  // A listener of the user's comes first, such as that of a training that saves; the next one stops.
  if (!cell.warned && signals.listened) {
    cell.warned = true;
    emitInterrupt();
  } else {
    running.interrupt();
  }
}

process.on('uncaughtException', (error) =>
  reportUncaught('Uncaught', error, throwerOf(error) ?? currentCell()),
);
process.on('unhandledRejection', (reason, promise) =>
  reportUncaught('Unhandled rejection', reason, cellOf(promise)),
);
process.on('SIGTERM', () => process.exit(0));
watcher.on('message', (cell: number) => {
  forgetContext();
  onInterrupt(cell);
});
ownInterrupts((listened) => {
  signals.listened = listened;
});
refuseInput();
reports.takeStreams();
mapStacks();
followPromises();
followListeners();
followTimers((error, cell) => reportUncaught('Uncaught', error, cell));
running = signals.guard(begin);
reports.send({ type: 'ready' });
