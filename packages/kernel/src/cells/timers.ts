import timers from 'node:timers';
import timerPromises from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Cell, currentCell, runIn } from './cell.js';

type Callback = (...values: unknown[]) => unknown;
type Start = (callback: Callback, ...rest: unknown[]) => NodeJS.Timeout | NodeJS.Immediate;

/** `setImmediate` as Node.js has it, for the kernel itself. */
export const ownImmediate = globalThis.setImmediate;

/** What `node:timers/promises` has, before it is replaced. */
const ownPromises = {
  setTimeout: timerPromises.setTimeout,
  setImmediate: timerPromises.setImmediate,
};

/** Above this many, timers that have fired or were cleared are looked for and forgotten. */
const sweepAt = 1000;

/**
 * From now on timers, ticks and microtasks belong to the cell that starts them: an interrupt clears its
 * timers, an interrupted cell starts no others, and what a callback throws is reported.
 */
export function followTimers(report: (error: unknown, cell: Cell) => void): void {
  for (const [name, repeats] of [
    ['setTimeout', false],
    ['setInterval', true],
    ['setImmediate', false],
  ] as const) {
    const wrapped = wrap(globalThis[name] as Start, repeats, report);
    Object.assign(globalThis, { [name]: wrapped });
    Object.assign(timers, { [name]: wrapped });
    if (repeats) continue;
    const promising = promised(name, wrapped);
    Object.assign(wrapped, { [promisify.custom]: promising });
    Object.assign(timerPromises, { [name]: promising });
  }
  followTasks(report);
}

function wrap(start: Start, repeats: boolean, report: (error: unknown, cell: Cell) => void): Start {
  return (callback, ...rest) => {
    const cell = currentCell();
    if (!cell || typeof callback !== 'function') return start(callback, ...rest);
    const timer = start(
      (...values) => {
        if (!repeats) cell.timers.delete(timer);
        guarded(cell, report, () => callback(...values));
      },
      ...rest,
    );
    const clear = () => {
      clearTimeout(timer as NodeJS.Timeout);
      clearImmediate(timer as NodeJS.Immediate);
    };
    if (cell.interrupted) {
      clear();
      return timer;
    }
    if (cell.timers.size >= sweepAt) sweep(cell);
    cell.timers.set(timer, clear);
    return timer;
  };
}

function sweep(cell: Cell): void {
  for (const timer of cell.timers.keys()) {
    if ((timer as { _destroyed?: boolean })._destroyed) cell.timers.delete(timer);
  }
}

function guarded(
  cell: Cell,
  report: (error: unknown, cell: Cell) => void,
  work: () => unknown,
): void {
  runIn(cell, () => {
    try {
      work();
    } catch (error) {
      report(error, cell);
    }
  });
}

/** The form that `promisify` gives, and `node:timers/promises`. */
function promised(name: keyof typeof ownPromises, start: Start): Callback {
  const original = ownPromises[name] as Callback;
  return (...values) => {
    const [value, options] = name === 'setImmediate' ? values : values.slice(1);
    // With options, such as a signal, they are left to Node.js.
    if (!currentCell() || options !== undefined) return original(...values);
    const delay = name === 'setImmediate' ? [] : [values[0]];
    return new Promise((resolve) => start(() => resolve(value), ...delay));
  };
}

function followTasks(report: (error: unknown, cell: Cell) => void): void {
  const { nextTick } = process;
  process.nextTick = (callback: Callback, ...values: unknown[]) => {
    const cell = currentCell();
    if (!cell || typeof callback !== 'function') return nextTick(callback, ...values);
    nextTick(() => runIn(cell, () => callback(...values)));
  };
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = (callback) => {
    const cell = currentCell();
    if (!cell || typeof callback !== 'function') return queueMicrotask(callback);
    queueMicrotask(() => guarded(cell, report, callback));
  };
}
