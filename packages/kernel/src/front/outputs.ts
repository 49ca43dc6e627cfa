import type { Report, Shown } from '../pipes.js';

/** What is published below a cell; `cell` says which. */
export type Output = Exclude<Report, { type: 'ready' | 'answer' | 'done' }>;

/** How outputs are held back so that a front end can follow. */
export interface Limits {
  /** Milliseconds that text waits for more of it, and a display for a newer state. */
  delay: number;
  /** Characters of text in one message. */
  characters: number;
  /**
   * How much larger messages of text become in a cell that has written much: a share of what it has
   * written. A front end that draws all text of a cell at each message draws it some 20 times then, and
   * not thousands of times. Text waits longer too, up to {@link longestDelay}.
   */
  share?: number;
  /** Bytes that may go out at once, and bytes a second after that; without it nothing is held back. */
  pace?: { burst: number; perSecond: number };
}

/**
 * What a server of JupyterLab lets pass: above 1,000,000 bytes a second, counted over three seconds,
 * it drops messages. `pace` stays below that.
 */
export const serverLimits: Limits = {
  delay: 50,
  characters: 65_536,
  share: 0.3,
  pace: { burst: 1_000_000, perSecond: 550_000 },
};

/** For programs that run notebooks, which take everything. */
export const openLimits: Limits = { delay: 20, characters: 65_536 };

/** Milliseconds that text waits at most. */
const longestDelay = 3000;

/** Characters of text in one message at most. */
const mostCharacters = 800_000;

/** Milliseconds for each character that a cell has written. */
const delayPerCharacter = 0.0005;

interface Waiting {
  bytes: number;
  go(): void;
}

/**
 * Puts outputs in order and merges floods: text of one stream becomes few messages, and of several
 * updates of one display within `delay` the last is published. Nothing is dropped but the updates that
 * a later one overwrites.
 */
export class Outputs {
  private text: {
    cell: number;
    name: 'stdout' | 'stderr';
    parts: string[];
    length: number;
  } | null = null;
  private readonly updates = new Map<string, Output>();
  private timer: NodeJS.Timeout | undefined;
  private textTimer: NodeJS.Timeout | undefined;
  /** Characters that a cell has written, for the one that wrote last. */
  private written = { cell: -1, characters: 0 };
  private readonly queue: Waiting[] = [];
  private head = 0;
  private budget: number;
  private refilled = performance.now();
  private pump: NodeJS.Timeout | undefined;
  /** Bytes that wait to be published. */
  waiting = 0;

  /**
   * @param publish sends one output
   * @param drained is called when less waits than before
   */
  constructor(
    private readonly limits: Limits,
    private readonly publish: (output: Output) => void,
    private readonly drained: () => void,
  ) {
    this.budget = limits.pace?.burst ?? 0;
  }

  /** Takes the next output. */
  add(output: Output): void {
    if (output.type === 'stream') this.addText(output);
    else if (output.type === 'display' && output.update) this.addUpdate(output);
    else {
      this.flush();
      this.enqueue(output);
    }
  }

  /** Calls back when everything that came before is published. */
  after(go: () => void): void {
    this.flush();
    this.line({ bytes: 0, go });
  }

  /** What was held back goes to the queue. */
  private flush(): void {
    this.flushText();
    this.flushUpdates();
  }

  private flushUpdates(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const update of this.updates.values()) this.enqueue(update);
    this.updates.clear();
  }

  private addText(output: Output & { type: 'stream' }): void {
    const { cell, name } = output;
    if (this.text && (this.text.cell !== cell || this.text.name !== name)) this.flushText();
    this.text ??= { cell, name, parts: [], length: 0 };
    this.text.parts.push(output.text);
    this.text.length += output.text.length;
    if (this.written.cell !== cell) this.written = { cell, characters: 0 };
    const { characters } = this.written;
    const share = Math.min(mostCharacters, characters * (this.limits.share ?? 0));
    const most = Math.max(this.limits.characters, share);
    if (this.text.length >= most) this.flushText();
    else {
      const slower = this.limits.share === undefined ? 0 : characters * delayPerCharacter;
      const delay = Math.min(longestDelay, this.limits.delay + slower);
      this.textTimer ??= setTimeout(() => this.flushText(), delay);
    }
  }

  private flushText(): void {
    clearTimeout(this.textTimer);
    this.textTimer = undefined;
    if (!this.text) return;
    const { cell, name, parts, length } = this.text;
    this.text = null;
    this.written.characters += length;
    this.enqueue({ type: 'stream', cell, name, text: parts.join('') });
  }

  private addUpdate(output: Output & { type: 'display' }): void {
    this.updates.set(output.shown.transient?.display_id ?? '', output);
    this.timer ??= setTimeout(() => this.flushUpdates(), this.limits.delay);
  }

  private enqueue(output: Output): void {
    this.line({ bytes: sizeOf(output), go: () => this.publish(output) });
  }

  private line(waiting: Waiting): void {
    this.queue.push(waiting);
    this.waiting += waiting.bytes;
    this.drain();
  }

  private drain(): void {
    if (this.pump) return;
    this.refill();
    for (let next = this.queue[this.head]; next; next = this.queue[this.head]) {
      // Something larger than the burst goes when the burst is there.
      const needed = Math.min(next.bytes, this.limits.pace?.burst ?? 0);
      if (this.limits.pace && this.budget < needed) {
        const seconds = (needed - this.budget) / this.limits.pace.perSecond;
        this.pump = setTimeout(() => {
          this.pump = undefined;
          this.drain();
        }, 1000 * seconds);
        break;
      }
      this.head += 1;
      this.budget -= next.bytes;
      this.waiting -= next.bytes;
      next.go();
    }
    if (this.head > 1000 || this.head === this.queue.length) {
      this.queue.splice(0, this.head);
      this.head = 0;
    }
    this.drained();
  }

  private refill(): void {
    const { pace } = this.limits;
    if (!pace) return;
    const now = performance.now();
    const earned = ((now - this.refilled) / 1000) * pace.perSecond;
    this.refilled = now;
    this.budget = Math.min(pace.burst, this.budget + earned);
  }
}

/** About the bytes of a message, with what stands around its content. */
function sizeOf(output: Output): number {
  const around = 1000;
  if (output.type === 'stream') return around + Buffer.byteLength(JSON.stringify(output.text));
  if (output.type === 'clear') return around;
  return around + sizeOfData(output.shown);
}

function sizeOfData({ data }: Shown): number {
  return Object.values(data).reduce<number>(
    (sum, value) =>
      sum + (typeof value === 'string' ? value.length : (JSON.stringify(value)?.length ?? 0)),
    0,
  );
}
