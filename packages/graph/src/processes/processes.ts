import { setImmediate, setTimeout } from 'node:timers/promises';
import { UserError } from '../errors.js';
import { tf } from '../tf.js';
import type { Leaves } from '../trace/body.js';
import { type Message, type Mpi, startMpi } from './mpi.js';
import type { StartedProcess } from './start.js';

/** What processes tell each other before an exchange: a kind, a number, and whether to stop. */
const headerLength = 3;
const [beat, come] = [0, 1];

/** While a process works alone the others hear of it so often in their patience; at most so long, in ms. */
const [beatsOfPatience, longestAlone] = [6, 10 * 60_000];
/** An exchange is at least so fast, in bytes a millisecond, or it hangs. */
const slowest = 10_000;

/**
 * The processes that train a model together, seen from one of them. Every exchange begins with a short
 * message from each to each: so all know who is missing. Nothing waits inside MPI: timers and signals go
 * on, and a process that waits sleeps.
 */
export class Processes {
  /** Of all means until now. */
  readonly traffic = { means: 0, bytes: 0, waitingSeconds: 0, exchangeSeconds: 0 };
  private readonly stopping = new AbortController();
  /** Aborted in all processes by the same exchange, after `stop` was called in one of them. */
  readonly signal: AbortSignal = this.stopping.signal;
  private wantsToStop = false;
  private readonly peers: number[];
  private readonly incoming = new Map<number, { header: Float64Array; message: Message }>();
  private beats: Message[] = [];
  private left = performance.now();
  private longestWork = 0;

  /** @param patience milliseconds to wait for one that gives no sign, beside the longest step so far */
  constructor(
    readonly rank: number,
    readonly size: number,
    private readonly mpi: Mpi,
    private readonly patience: number,
  ) {
    this.peers = Array.from({ length: size }, (_, i) => i).filter((i) => i !== rank);
  }

  /** Asks all processes to stop. */
  stop(): void {
    this.wantsToStop = true;
  }

  /**
   * Means over all processes of named tensors, added in the order of the ranks: the same bits in every
   * process, and those of one that adds up all parts. Each process adds up one part of the vector of all
   * tensors and sends it to the others: 2·(n − 1)/n times the vector leaves each, as with a ring.
   *
   * @returns tensors that the caller frees
   * @throws UserError where a process gives no sign
   */
  async mean(tensors: Leaves): Promise<Leaves> {
    const named = Object.entries(tensors);
    const total = named.reduce((sum, [, { size }]) => sum + size, 0);
    const begun = performance.now();
    this.longestWork = Math.max(this.longestWork, begun - this.left);
    await this.meet(0);
    const met = performance.now();
    const all = new Float32Array(Math.ceil(total / this.size) * this.size);
    let at = 0;
    for (const [, tensor] of named) {
      all.set(tensor.dataSync(), at);
      at += tensor.size;
    }
    await this.addUp(all);
    this.traffic.means++;
    this.traffic.bytes += (2 * this.peers.length * all.byteLength) / this.size;
    this.traffic.waitingSeconds += (met - begun) / 1000;
    this.left = performance.now();
    this.traffic.exchangeSeconds += (this.left - met) / 1000;
    at = 0;
    return Object.fromEntries(
      named.map(([name, { shape, size }]) => {
        at += size;
        return [name, tf.tensor(all.subarray(at - size, at), shape)];
      }),
    );
  }

  /** Replaces the numbers of each process by their means. */
  private async addUp(all: Float32Array): Promise<void> {
    const { rank, size, mpi, peers } = this;
    const length = all.length / size;
    const partOf = (numbers: Float32Array, owner: number) =>
      numbers.subarray(owner * length, (owner + 1) * length);
    const exchanged = (into: Float32Array, sent: (peer: number) => Float32Array) =>
      this.finish([
        ...peers.map((peer) => mpi.receive(peer, bytesOf(partOf(into, peer)))),
        ...peers.map((peer) => mpi.send(peer, bytesOf(sent(peer)))),
      ]);
    const parts = new Float32Array(all.length);
    const own = partOf(all, rank);
    partOf(parts, rank).set(own);
    await exchanged(parts, (peer) => partOf(all, peer));
    for (let i = 0; i < length; i++) {
      // Rounded after each addition, as float32 numbers are added.
      let sum = parts[i] ?? 0;
      for (let from = i + length; from < parts.length; from += length) {
        sum = Math.fround(sum + (parts[from] ?? 0));
      }
      own[i] = sum / size;
    }
    await exchanged(all, () => own);
  }

  /** What the first process decides, alone, in all of them: a value that JSON can hold. */
  async decided<T>(decide: () => Promise<T>): Promise<T> {
    const own = this.rank === 0 ? Buffer.from(JSON.stringify(await this.alone(decide))) : undefined;
    const heads = await this.meet(own?.length ?? 0);
    const text = own ?? Buffer.alloc(heads.get(0)?.[1] ?? 0);
    await this.spread(text);
    return JSON.parse(text.toString());
  }

  /**
   * What the first process has, in all of them: a value that JSON can hold, and the numbers of named
   * tensors, which all have with the same names and shapes.
   *
   * @returns tensors that the caller frees, as those that it gave
   */
  async fromFirst<T>(own: T, tensors: Leaves): Promise<{ value: T; tensors: Leaves }> {
    // A state from a file has another order than a fresh one.
    const mine = { value: own, names: Object.keys(tensors) };
    const { value, names } = await this.decided(async () => mine);
    const got: Leaves = {};
    for (const name of names) {
      const tensor = tensors[name];
      if (!tensor) throw new Error(`Process ${this.rank} has no tensor ${name}.`);
      const numbers = Float32Array.from(tensor.dataSync());
      await this.spread(bytesOf(numbers));
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
    await this.meet(0);
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

  /** Tells the others a number, and waits until all have told theirs, each in a header. */
  private async meet(number: number): Promise<Map<number, Float64Array>> {
    const begun = performance.now();
    // What is wished from here on is told in the next header: all stop by the same one.
    const wish = this.wantsToStop;
    const told = this.tell(come, number);
    const heads = new Map<number, Float64Array>();
    const heard = new Map(this.peers.map((peer) => [peer, begun]));
    while (heads.size < this.peers.length) {
      for (const peer of this.peers) {
        const head = heads.has(peer) ? undefined : this.hear(peer);
        if (head) heard.set(peer, performance.now());
        if (head?.[0] === come) heads.set(peer, head);
      }
      this.checkSigns(heads, heard);
      // What waits long leaves the processor to those that it waits for.
      await (performance.now() - begun < 2 ? setImmediate() : setTimeout(1));
    }
    await this.finish([...told, ...this.beats.splice(0)]);
    if (wish || [...heads.values()].some((head) => head[2] === 1)) this.stopping.abort();
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

  /** @throws UserError where a process that has not come has given no sign for too long */
  private checkSigns(come: ReadonlyMap<number, unknown>, heard: ReadonlyMap<number, number>): void {
    const limit = this.patience + this.longestWork;
    // The lowest of those that wait speaks, and the others only where that ends nothing.
    const grace = this.peers.some((peer) => peer < this.rank && come.has(peer)) ? 3000 : 0;
    const latest = performance.now() - limit - grace;
    const late = this.peers.filter((peer) => !come.has(peer) && (heard.get(peer) ?? 0) < latest);
    if (late.length > 0) throw hangs(late, limit);
  }

  /** The first process's bytes in all. */
  private spread(bytes: Uint8Array): Promise<void> {
    const { rank, mpi, peers } = this;
    const sent = () => peers.map((peer) => mpi.send(peer, bytes));
    return this.finish(rank === 0 ? sent() : [mpi.receive(0, bytes)]);
  }

  /** Waits until messages have left and arrived, between processes that are all here. */
  private async finish(messages: readonly Message[]): Promise<void> {
    const begun = performance.now();
    const size = messages.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const limit = this.patience + size / slowest;
    for (let open = messages; ; await setImmediate()) {
      open = open.filter((message) => !this.mpi.isDone(message));
      if (open.length === 0) return;
      if (performance.now() - begun < limit) continue;
      throw hangs([...new Set(open.map(({ peer }) => peer))], limit);
    }
  }
}

function hangs(peers: readonly number[], limit: number): UserError {
  return new UserError(
    `Process ${peers.join(', ')} gave no sign for ${Math.round(limit / 1000)} s: it hangs, or its machine ` +
      'does not answer',
    'Look at it, then resume the run, which has its last saved state (where steps differ much in time, ' +
      'set TARFLOW_PATIENCE to more seconds)',
  );
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
  const named = process.env.TARFLOW_PATIENCE;
  const patience = Number(named || usualPatience);
  if (!(patience > 0)) {
    throw new UserError(`TARFLOW_PATIENCE is ${named}`, 'Expected seconds, above 0');
  }
  return new Processes(started.rank, started.size, startMpi(started), 1000 * patience);
}
