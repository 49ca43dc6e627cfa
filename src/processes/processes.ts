import { setImmediate, setTimeout } from 'node:timers/promises';
import { UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import type { Leaves } from '../core/tree.js';
import { type Message, type Mpi, startMpi } from './mpi.js';
import type { StartedProcess } from './started.js';

/** What processes tell each other before they exchange anything: a kind, a number, and a wish to stop. */
const [beat, come] = [0, 1];
const headerLength = 3;

/** While a process works alone the others hear of it so often, as a share of their patience. */
const beatsOfPatience = 6;

/** Who works alone for longer than this hangs. */
const longestAlone = 10 * 60_000;

/** At least so fast goes what is exchanged, in bytes a millisecond; else the exchange hangs. */
const slowestNetwork = 10_000;

/**
 * The processes that train a model together, seen from one of them.
 *
 * Every exchange begins with a short message from each to each. So all know that all are there, or who
 * is missing; nothing waits inside MPI, timers and signals go on, and a process that waits for another
 * one sleeps.
 */
export class Processes {
  readonly rank: number;
  readonly size: number;
  /** Aborted in all processes by the same exchange, after `stop` was called in one of them. */
  readonly signal: AbortSignal;
  /** Of all means until now. */
  readonly traffic = { means: 0, bytes: 0, waitingSeconds: 0, exchangeSeconds: 0 };
  private readonly stopping = new AbortController();
  private wantsToStop = false;
  private readonly peers: number[];
  private readonly incoming = new Map<number, { header: Float64Array; message: Message }>();
  private beats: Message[] = [];
  private left = performance.now();
  private longestWork = 0;

  /** @param patience milliseconds to wait for a process that gives no sign, beside the longest work so far */
  constructor(
    private readonly mpi: Mpi,
    private readonly patience: number,
  ) {
    this.rank = mpi.rank;
    this.size = mpi.size;
    this.signal = this.stopping.signal;
    this.peers = Array.from({ length: mpi.size }, (_, i) => i).filter((i) => i !== mpi.rank);
  }

  /** Asks all processes to stop. */
  stop(): void {
    this.wantsToStop = true;
  }

  /**
   * Means over all processes of named tensors. Numbers are added in the order of the ranks, as one
   * process adds that has all parts. So the result is the same bits in every process, whatever
   * their number and the network. Each process adds up one part of the vector of all tensors and sends
   * it to the others: 2·(n − 1)/n times the vector leaves each, as with a ring.
   *
   * @returns tensors that the caller frees
   * @throws UserError where a process gives no sign, or brought other tensors
   */
  async mean(tensors: Leaves): Promise<Leaves> {
    const named = Object.entries(tensors);
    const total = named.reduce((sum, [, { size }]) => sum + size, 0);
    const begun = performance.now();
    this.longestWork = Math.max(this.longestWork, begun - this.left);
    const heads = await this.meet(total);
    const met = performance.now();
    for (const [peer, head] of heads) {
      if (head[1] === total) continue;
      throw new UserError(
        `Process ${peer} brought ${head[1]} numbers, and process ${this.rank} ${total}`,
        'Start all processes with the same version and options',
      );
    }
    const part = Math.ceil(total / this.size);
    const all = new Float32Array(part * this.size);
    let at = 0;
    for (const [, tensor] of named) {
      all.set(tensor.dataSync(), at);
      at += tensor.size;
    }
    await this.addUp(all, part);
    this.traffic.means++;
    this.traffic.bytes += 2 * this.peers.length * part * Float32Array.BYTES_PER_ELEMENT;
    this.traffic.waitingSeconds += (met - begun) / 1000;
    this.traffic.exchangeSeconds += (performance.now() - met) / 1000;
    this.left = performance.now();
    at = 0;
    return Object.fromEntries(
      named.map(([name, { shape, size }]) => {
        at += size;
        return [name, tf.tensor(all.subarray(at - size, at), shape)];
      }),
    );
  }

  /** Replaces the numbers of each process by their means. */
  private async addUp(all: Float32Array, part: number): Promise<void> {
    const { rank, size, mpi } = this;
    const partOf = (owner: number): Uint8Array =>
      bytesOf(all.subarray(owner * part, (owner + 1) * part));
    const parts = new Float32Array(part * size);
    const own = rank * part;
    parts.set(all.subarray(own, own + part), own);
    await this.finish(
      this.peers.flatMap((peer) => [
        mpi.receive(peer, bytesOf(parts.subarray(peer * part, (peer + 1) * part))),
        mpi.send(peer, partOf(peer)),
      ]),
    );
    for (let i = 0; i < part; i++) {
      // Math.fround after each addition: float32 numbers, added as TensorFlow adds them.
      let sum = parts[i] ?? 0;
      for (let from = 1; from < size; from++)
        sum = Math.fround(sum + (parts[from * part + i] ?? 0));
      all[own + i] = sum / size;
    }
    await this.finish(
      this.peers.flatMap((peer) => [mpi.receive(peer, partOf(peer)), mpi.send(peer, partOf(rank))]),
    );
  }

  /** A text of each process, by their ranks. */
  async texts(own: string): Promise<string[]> {
    const bytes = Buffer.from(own);
    const heads = await this.meet(bytes.length);
    const texts = [...heads].map(([peer, head]) => ({ peer, text: new Uint8Array(head[1] ?? 0) }));
    await this.finish([
      ...texts.flatMap(({ peer, text }) => (text.length > 0 ? this.mpi.receive(peer, text) : [])),
      ...this.peers.flatMap((peer) => (bytes.length > 0 ? this.mpi.send(peer, bytes) : [])),
    ]);
    const found = new Map(texts.map(({ peer, text }) => [peer, Buffer.from(text).toString()]));
    return Array.from({ length: this.size }, (_, rank) => found.get(rank) ?? own);
  }

  /** What the first process decides, alone, in all of them: a value that JSON can hold. */
  async decided<T>(decide: () => Promise<T>): Promise<T> {
    const own = this.rank === 0 ? JSON.stringify(await this.alone(decide)) : '';
    const [text = ''] = await this.texts(own);
    return JSON.parse(text);
  }

  /**
   * What the first process has, in all of them: a value that JSON can hold, and the numbers of named
   * tensors, which all have with the same names and shapes.
   *
   * @returns tensors that the caller frees, as those that it gave
   */
  async fromFirst<T>(own: T, tensors: Leaves): Promise<{ value: T; tensors: Leaves }> {
    // A state from a file has another order than a fresh one.
    const { value, names } = await this.decided(async () => ({
      value: own,
      names: Object.keys(tensors),
    }));
    const got: Leaves = {};
    for (const name of names) {
      const tensor = tensors[name];
      if (!tensor) throw new Error(`Process ${this.rank} has no tensor ${name}.`);
      const numbers = Float32Array.from(tensor.dataSync());
      await this.finish(
        this.rank === 0
          ? this.peers.map((peer) => this.mpi.send(peer, bytesOf(numbers)))
          : [this.mpi.receive(0, bytesOf(numbers))],
      );
      got[name] = tf.tensor(numbers, tensor.shape);
    }
    this.left = performance.now();
    return { value, tensors: got };
  }

  /** Does work for which the others wait. They are told every few seconds that it goes on. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - begun > longestAlone) return;
      this.beats = this.beats.filter((message) => !this.mpi.isDone(message));
      this.beats.push(...this.tell(beat, 0));
    }, this.patience / beatsOfPatience);
    try {
      return await work();
    } finally {
      clearInterval(timer);
      this.left += performance.now() - begun;
    }
  }

  /** Waits until all processes are here, and ends the use of MPI. */
  async leave(): Promise<void> {
    await this.texts('');
    this.mpi.finalize();
  }

  /** Ends all processes at once. */
  abort(exitCode: number): void {
    this.mpi.abort(exitCode);
  }

  private tell(kind: number, number: number): Message[] {
    const header = Float64Array.of(kind, number, this.wantsToStop ? 1 : 0);
    return this.peers.map((peer) => this.mpi.send(peer, bytesOf(header)));
  }

  /**
   * Tells the others that this process has come, with a number, and waits for them.
   * @returns what each of them told
   */
  private async meet(number: number): Promise<Map<number, Float64Array>> {
    const begun = performance.now();
    const told = this.tell(come, number);
    const heads = new Map<number, Float64Array>();
    const heard = new Map<number, number>();
    for (;;) {
      for (const peer of this.peers) {
        if (heads.has(peer)) continue;
        for (let head = this.hear(peer); head; head = this.hear(peer)) {
          heard.set(peer, performance.now());
          if (head[0] === beat) continue;
          heads.set(peer, head);
          break;
        }
      }
      const missing = this.peers.filter((peer) => !heads.has(peer));
      if (missing.length === 0) break;
      this.checkSigns(missing, (peer) => heard.get(peer) ?? begun);
      // What waits long leaves the processor to those that it waits for.
      await (performance.now() - begun < 2 ? setImmediate() : setTimeout(1));
    }
    await this.finish([...told, ...this.beats]);
    this.beats = [];
    if (this.wantsToStop || [...heads.values()].some((head) => head[2] === 1)) {
      this.stopping.abort();
    }
    return heads;
  }

  /** What a process told, where something has arrived. */
  private hear(peer: number): Float64Array | undefined {
    let coming = this.incoming.get(peer);
    if (!coming) {
      const header = new Float64Array(headerLength);
      coming = { header, message: this.mpi.receive(peer, bytesOf(header)) };
      this.incoming.set(peer, coming);
    }
    if (!this.mpi.isDone(coming.message)) return undefined;
    this.incoming.delete(peer);
    return coming.header;
  }

  /** @throws UserError where a process has given no sign for too long */
  private checkSigns(missing: readonly number[], heard: (peer: number) => number): void {
    const now = performance.now();
    // The lowest of those that wait speaks, and the others only where that ends nothing.
    const speaks = this.peers.every((peer) => peer > this.rank || missing.includes(peer));
    const limit = this.patience + this.longestWork + (speaks ? 0 : 3000);
    const late = missing.filter((peer) => now - heard(peer) > limit);
    if (late.length === 0) return;
    throw new UserError(
      `Process ${late.join(', ')} of ${this.size} has given no sign for ${Math.round(limit / 1000)} s: ` +
        'it hangs, or its machine does not answer',
      'Look at that process and its machine, then resume the run, which has its last saved state ' +
        '(steps that differ much in time need more TARFLOW_PATIENCE, in seconds)',
    );
  }

  /** Waits until messages have left and arrived, between processes that are all here. */
  private async finish(messages: readonly Message[]): Promise<void> {
    const begun = performance.now();
    const bytes = messages.reduce((sum, message) => sum + message.bytes.length, 0);
    const limit = this.patience + bytes / slowestNetwork;
    let open = messages;
    for (;;) {
      open = open.filter((message) => !this.mpi.isDone(message));
      if (open.length === 0) return;
      if (performance.now() - begun > limit) {
        throw new UserError(
          `Process ${this.rank} could not exchange ${bytes} bytes in ${Math.round(limit / 1000)} s`,
          'A process or the network hangs. Resume the run, which has its last saved state',
        );
      }
      await setImmediate();
    }
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Seconds without a sign of a process, beside the longest step so far, until the job ends. */
const usualPatience = 40;

/**
 * Joins the processes that mpirun or srun started together with this one, by MPI.
 * @throws UserError where there is no MPI, or not that which started the processes
 */
export function joinProcesses(started: StartedProcess): Processes {
  const patience = Number(process.env.TARFLOW_PATIENCE || usualPatience);
  return new Processes(startMpi(started), patience * 1000);
}
