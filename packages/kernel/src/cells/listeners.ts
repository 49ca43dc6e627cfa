import { EventEmitter } from 'node:events';
import { type Cell, currentCell, runIn } from './cell.js';

type Listener = ((...values: unknown[]) => void) & { listener?: Listener };
/** The methods by which listeners are added. */
type Adder = 'on' | 'addListener' | 'prependListener' | 'once' | 'prependOnceListener';
type Add = (this: EventEmitter, event: string | symbol, listener: Listener) => EventEmitter;

const throwers = new WeakMap<object, Cell>();

/** The cell whose listener threw an error that nobody caught. */
export function throwerOf(error: unknown): Cell | undefined {
  return typeof error === 'object' && error !== null ? throwers.get(error) : undefined;
}

/**
 * From now on listeners of events, as of a child process, run as a part of the cell that added them. They
 * are removed as ever, by the function that was added.
 */
export function followListeners(): void {
  const emitter: Record<Adder, Add> = EventEmitter.prototype;
  const { on, prependListener: prepend, once, prependOnceListener: prependOnce } = emitter;
  emitter.on = everyTime(on);
  emitter.addListener = emitter.on;
  emitter.prependListener = everyTime(prepend);
  emitter.once = oneTime(once, on);
  emitter.prependOnceListener = oneTime(prependOnce, prepend);
}

function everyTime(add: Add): Add {
  return function (event, listener) {
    const cell = currentCell();
    // What has a listener of its own is around one that is bound already.
    if (!cell || typeof listener !== 'function' || listener.listener) {
      return Reflect.apply(add, this, [event, listener]);
    }
    const bound: Listener = function (this: unknown, ...values) {
      run(cell, () => Reflect.apply(listener, this, values));
    };
    bound.listener = listener;
    return Reflect.apply(add, this, [event, bound]);
  };
}

function oneTime(original: Add, add: Add): Add {
  return function (event, listener) {
    const cell = currentCell();
    if (!cell || typeof listener !== 'function') {
      return Reflect.apply(original, this, [event, listener]);
    }
    const bound: Listener = (...values) => {
      this.removeListener(event, bound);
      run(cell, () => Reflect.apply(listener, this, values));
    };
    bound.listener = listener;
    return Reflect.apply(add, this, [event, bound]);
  };
}

function run(cell: Cell, work: () => void): void {
  runIn(cell, () => {
    try {
      work();
    } catch (error) {
      if (typeof error === 'object' && error !== null) throwers.set(error, cell);
      throw error;
    }
  });
}
