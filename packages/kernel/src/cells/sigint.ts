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
