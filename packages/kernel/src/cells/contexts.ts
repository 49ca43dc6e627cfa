import { promiseHooks } from 'node:v8';
import type { Cell } from './cell.js';

/**
 * Which cell the code that runs now belongs to, through promises and timers. This is what
 * AsyncLocalStorage gives, written again because that one, in Node.js 20 and 22, leaves its stack behind
 * when a busy loop is stopped from outside, and Node.js then ends the process.
 */
let current: Cell | undefined;

/** The cell whose code runs, if it can be told. */
export function currentCell(): Cell | undefined {
  return current;
}

/** Runs a function as a part of a cell. */
export function runIn<T>(cell: Cell | undefined, work: () => T): T {
  const before = current;
  current = cell;
  try {
    return work();
  } finally {
    current = before;
  }
}

/** After a busy loop was stopped, nothing that was entered was left. */
export function forgetContext(): void {
  current = undefined;
}

/** The cell that made a promise. */
export function cellOf(promise: object): Cell | undefined {
  return Stamp.of(promise);
}

/** A constructor that returns what it is given. */
const Itself = ((): unknown => {
  function itself(object: object): object {
    return object;
  }
  return itself;
})() as new (
  object: object,
) => object;

/** Writes a private field into any object: faster than a WeakMap, and seen by nobody. */
class Stamp extends Itself {
  #cell: Cell;

  constructor(object: object, cell: Cell) {
    super(object);
    this.#cell = cell;
  }

  static of(object: object): Cell | undefined {
    return #cell in object ? object.#cell : undefined;
  }
}

/** From now on promises know the cell that made them. */
export function followPromises(): void {
  let outer: Cell | undefined;
  promiseHooks.createHook({
    init(promise) {
      if (current) new Stamp(promise, current);
    },
    before(promise) {
      outer = current;
      current = Stamp.of(promise);
    },
    after() {
      current = outer;
    },
  });
}
