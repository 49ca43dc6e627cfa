import { promiseHooks } from 'node:v8';

/** A cell that runs or has run, and what it left behind. */
export interface Cell {
  readonly id: number;
  /** What tracebacks call it, such as 'cell 3'. */
  readonly name: string;
  /** True once an interrupt has stopped it: what it still starts does not happen. */
  interrupted: boolean;
  /** True once an await of it has thrown because of an interrupt. */
  thrown: boolean;
  /** True once a listener of its own has been told of an interrupt. */
  warned: boolean;
  /** Rejects the awaits that wait now. */
  readonly waits: Set<() => void>;
  /** Clears the timers that have not fired. */
  readonly timers: Map<unknown, () => void>;
}

export function newCell(id: number, name: string): Cell {
  return {
    id,
    name,
    interrupted: false,
    thrown: false,
    warned: false,
    waits: new Set(),
    timers: new Map(),
  };
}

/** What an await throws in a cell that was interrupted. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor() {
    super('The cell was interrupted.');
  }
}

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
