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
