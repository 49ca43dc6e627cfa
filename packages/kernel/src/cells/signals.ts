/**
 * What the thread that hears of interrupts and the thread of the cells tell each other while the latter
 * is busy: numbers in memory that both share.
 */
export class Signals {
  readonly memory: SharedArrayBuffer;
  private readonly values: Int32Array;

  constructor(memory = new SharedArrayBuffer(4 * 4)) {
    this.memory = memory;
    this.values = new Int32Array(memory);
  }

  /** How many interrupts have come. */
  get asked(): number {
    return Atomics.load(this.values, 0);
  }

  ask(): void {
    Atomics.add(this.values, 0, 1);
  }

  /** How many of them the thread of the cells has heard of. */
  get heard(): number {
    return Atomics.load(this.values, 1);
  }

  hear(): void {
    Atomics.store(this.values, 1, this.asked);
  }

  /** True while a listener of the user's waits for an interrupt: then nothing is stopped by force. */
  get listened(): boolean {
    return Atomics.load(this.values, 2) > 0;
  }

  set listened(value: boolean) {
    Atomics.store(this.values, 2, value ? 1 : 0);
  }

  /** True while something runs that must not be left half done: the compiler, a message, a module. */
  get guarded(): boolean {
    return Atomics.load(this.values, 3) > 0;
  }

  /** Runs something that must not be left half done. */
  guard<T>(work: () => T): T {
    Atomics.add(this.values, 3, 1);
    try {
      return work();
    } finally {
      Atomics.sub(this.values, 3, 1);
    }
  }

  /** Nothing is guarded any more, after something was stopped by force. */
  unguard(): void {
    Atomics.store(this.values, 3, 0);
  }
}

/**
 * Interrupts come from the front, by its own pipe. A signal of the terminal also reaches this process;
 * listeners are told once, by the front.
 */
let telling = false;

/**
 * Takes over who is told of SIGINT, and that it does not end the process.
 *
 * @param onListeners is told whether anybody but the kernel listens
 */
export function ownInterrupts(onListeners: (listened: boolean) => void): void {
  const { emit } = process;
  process.emit = function (this: NodeJS.Process, event: string, ...values: unknown[]): boolean {
    if (event === 'SIGINT' && !telling) return true;
    return Reflect.apply(emit, this, [event, ...values]) as boolean;
  } as unknown as typeof process.emit;
  process.on('SIGINT', () => {});
  const count = (change: number) => onListeners(process.listenerCount('SIGINT') + change > 1);
  // The first comes before the listener is added.
  process.on('newListener', (event) => event === 'SIGINT' && count(1));
  process.on('removeListener', (event) => event === 'SIGINT' && count(0));
}

/** Tells the listeners of SIGINT. */
export function emitInterrupt(): void {
  telling = true;
  try {
    process.emit('SIGINT', 'SIGINT');
  } finally {
    telling = false;
  }
}
