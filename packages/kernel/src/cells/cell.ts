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
