/**
 * Makes things by index, some of them before they are asked for. Of those made ahead at most `held`
 * are kept, and at most `atOnce` of all are being made, so that memory stays bounded whatever the
 * number of indices.
 */
export class Prefetcher<T> {
  private readonly ready = new Map<number, Promise<T>>();
  private readonly waiting: (() => void)[] = [];
  private running = 0;

  constructor(
    private readonly make: (index: number) => Promise<T>,
    private readonly limits: { held: number; atOnce: number },
  ) {}

  /** The thing of an index, which is no longer kept here. */
  take(index: number): Promise<T> {
    const found = this.ready.get(index) ?? this.made(index);
    this.ready.delete(index);
    return found;
  }

  /** Begins with the things of these indices, as many as may be held, and forgets all others. */
  prefetch(indices: ArrayLike<number>): void {
    const wanted = new Set(Array.from(indices).slice(0, this.limits.held));
    for (const index of this.ready.keys()) {
      if (!wanted.has(index)) this.ready.delete(index);
    }
    for (const index of wanted) {
      if (this.ready.has(index)) continue;
      const made = this.made(index);
      // Whoever takes it gets the error; perhaps nobody does.
      made.catch(() => {});
      this.ready.set(index, made);
    }
  }

  private async made(index: number): Promise<T> {
    if (this.running >= this.limits.atOnce) {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
      });
    } else {
      this.running++;
    }
    try {
      return await this.make(index);
    } finally {
      // The place goes to the one that has waited longest.
      const next = this.waiting.shift();
      if (next) next();
      else this.running--;
    }
  }
}
