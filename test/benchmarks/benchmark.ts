import * as path from 'node:path';
import { worthIt } from '../../src/cli/training-threads.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { type PeerName, peerTitles } from '../../workbook/records/benchmarks.js';
import { agree, type Difference, differences, type Results } from './agreement.js';
import {
  type Case,
  caseName,
  configurationName,
  flops,
  learningRate,
  takesMinutes,
} from './cases.js';
import type { Contender } from './contender.js';
import { goldenCases, goldenDifferences } from './golden-check.js';
import type { Options } from './options.js';
import { digits, figuresOf, type ResultRow } from './report.js';
import type { Machine } from './results-file.js';
import { type Possible, peerMode, peersFor, type Sides, type Started } from './sides.js';

/** Seconds from which a run is a long one. */
const longRun = 20;

/** What a row says of ours where each operation has one thread. */
const partsNote = 'ours: a part of the batch in each thread';

/** Processes of a side whose memory is measured. */
const memoryProcesses = 3;

/** Largest relative difference between the sides, by what rounds their matrix products. */
const tolerances = { float32: 2e-4, tf32: 2e-2, bfloat16: 2e-2 };

/** What is measured of one case: on which side, and how it runs there. */
interface Variant {
  side: Contender;
  label: string;
  mode: string;
  /** True where the row goes without it if it fails, and says so. */
  optional?: boolean;
}

/** The sides that run now, each a process. */
interface Running {
  ours: Contender;
  peers: Map<PeerName, Contender>;
}

/** Compares and measures cases, in {@link Benchmark.afresh}. */
export class Benchmark {
  private readonly weights = new Map<string, string>();
  /** For each training that was looked at, whether it is faster with one thread an operation. */
  private readonly undivided = new Map<string, boolean>();
  private runningNow: Running | undefined;

  constructor(
    private readonly sides: Sides,
    private readonly machine: Machine,
    private readonly possible: Possible,
    private readonly scratch: string,
    private readonly options: Options,
  ) {}

  /** Runs something with new processes of the sides of some cases, to which nothing clings. */
  async afresh<Result>(cases: readonly Case[], work: () => Promise<Result>): Promise<Result> {
    const ours = (await this.sides.ours()).side;
    const peers = new Map<PeerName, Contender>();
    try {
      for (const name of new Set(cases.flatMap((one) => peersFor(one, this.possible)))) {
        peers.set(name, (await this.sides.peer(name)).side);
      }
      this.runningNow = { ours, peers };
      return await work();
    } finally {
      this.runningNow = undefined;
      for (const peer of peers.values()) await peer.end();
      await ours.end();
    }
  }

  private get running(): Running {
    if (!this.runningNow) throw new Error('The sides do not run: call this in `afresh`.');
    return this.runningNow;
  }

  private get device(): 'cpu' | 'cuda' {
    return this.possible.gpu ? 'cuda' : 'cpu';
  }

  /** Whether the peers find what the golden files say, but for rounding; says so. */
  async compareWithGolden(): Promise<boolean> {
    const file = path.join(this.scratch, 'golden.safetensors');
    // What torch.compile compiles is the same program.
    const possible = { ...this.possible, compile: false };
    const cases = await goldenCases();
    const names = new Set(cases.flatMap((golden) => peersFor(golden.case, possible)));
    let agrees = true;
    for (const name of names) {
      const { side } = await this.sides.peer(name);
      try {
        for (const golden of cases) {
          if (!peersFor(golden.case, possible).includes(name)) continue;
          await writeSafetensors(file, golden.given, {});
          const results = await this.resultsOf(side, {
            ...golden.case,
            mode: peerMode(name),
            file,
          });
          const found = goldenDifferences(golden, results, this.tolerance('float32'));
          agrees = announced(`${golden.name}, ${name} and the published code`, found) && agrees;
        }
      } finally {
        await side.end();
      }
    }
    return agrees;
  }

  /** Whether all sides find the same in a case, but for rounding; says so. */
  async compare(one: Case): Promise<boolean> {
    const file = await this.weightsOf(one.config, one.batch);
    const mode = one.mode ?? 'default';
    const { tensors: given } = await readSafetensors(file);
    const ours = await this.resultsOf(this.running.ours, { ...one, mode, file });
    const input = one.workload === 'denoising step' ? given.images?.data : undefined;
    const tolerance = this.tolerance(one.precision);
    let agrees = true;
    if (this.mayBeUndivided(one)) {
      const { side } = await this.sides.ours(true);
      const parts = await this.resultsOf(side, { ...one, mode, file }).finally(() => side.end());
      const found = differences(ours, parts, { tolerance, learningRate, input });
      agrees = announced(`${caseName(one)}, ${mode} and parts of the batch`, found);
    }
    for (const name of peersFor(one, this.possible)) {
      const side = this.running.peers.get(name) as Contender;
      const request = { ...one, mode: peerMode(name), file };
      const title = `${caseName(one)}, ${mode} and ${name}`;
      const peer = await this.resultsOf(side, request).catch((error: Error) => {
        if (!mayFail(name)) throw error;
        console.log(`${title}: ${error.message}`);
        return undefined;
      });
      if (!peer) continue;
      const found = differences(ours, peer, { tolerance, learningRate, input });
      agrees = announced(title, found) && agrees;
    }
    return agrees;
  }

  private tolerance(precision: Case['precision']): number {
    return tolerances[precision === 'float32' && this.machine.tf32 ? 'tf32' : precision];
  }

  private async resultsOf(side: Contender, request: Record<string, unknown>): Promise<Results> {
    const out = path.join(this.scratch, `${side.label}.safetensors`);
    await side.ask({ command: 'check', ...request, out, device: this.device });
    return (await readSafetensors(out)).tensors;
  }

  /** The machine's best rate of matrix products in GFLOP/s, on any side. */
  async peak(precision: Case['precision']): Promise<number> {
    const size = 2048;
    let best = Number.POSITIVE_INFINITY;
    const { ours, peers } = this.running;
    for (let turn = 0; turn < 3; turn++) {
      for (const side of [ours, ...peers.values()]) {
        const request = { command: 'peak', size, precision, device: this.device, times: 4 };
        best = Math.min(best, (await side.ask<{ seconds: number }>(request)).seconds);
      }
    }
    return (2 * size ** 3) / best / 1e9;
  }

  /** @param peak of the machine's matrix products in GFLOP/s, where the rate matters */
  async measure(one: Case, peak?: number): Promise<ResultRow> {
    const file = await this.weightsOf(one.config, one.batch);
    const request = { ...one, file, device: this.device };
    const notes: string[] = [];
    const parts = await this.isFasterUndivided(one);
    if (parts) notes.push(partsNote);
    const peers = await this.readyPeers(one, request, notes);
    const side = parts ? (await this.sides.ours(true)).side : this.running.ours;
    const { ours = [], ...theirs } = await this.timed(
      [{ side, label: 'ours', mode: one.mode ?? 'default' }, ...peers],
      request,
      notes,
    ).finally(() => (parts ? side.end() : undefined));
    // The others come afterwards: what they free in the same process, ours would have to fetch from
    // the system again in its next turn.
    const others = await this.timed(this.others(one), request, notes);
    const figures = figuresOf({ ours, peers: theirs, others });
    const rate = (time: number) => digits(flops(one) / time / 1e9);
    return {
      ...this.heading(one),
      unit: 's',
      ...figures,
      ...(notes.length > 0 && { note: notes.join('; ') }),
      ...(peak !== undefined && {
        gflops: {
          ours: rate(figures.ours),
          peer: rate(figures.peers[figures.best] as number),
          peak: digits(peak),
          ofPeak: digits(rate(figures.ours) / peak),
        },
      }),
    };
  }

  /** The peers of a case, each in the faster of its two processes. */
  private async readyPeers(
    one: Case,
    request: Record<string, unknown>,
    notes: string[],
  ): Promise<Variant[]> {
    const variants: Variant[] = [];
    for (const name of peersFor(one, this.possible)) {
      const mode = peerMode(name);
      try {
        // Where a run takes minutes, it is sampling, whose tensors are those of a token, and small.
        if (this.device === 'cpu' && !takesMinutes(one)) {
          const kept = await this.takeFasterProcess(name, { ...request, mode });
          if (kept) notes.push(`${peerTitles[name]}: freed memory kept`);
        }
        const side = this.running.peers.get(name) as Contender;
        variants.push({ side, label: name, mode, optional: mayFail(name) });
      } catch (error) {
        if (!mayFail(name)) throw error;
        notes.push((error as Error).message);
      }
    }
    return variants;
  }

  /**
   * Goes on with the process of a peer that keeps the memory it frees, if that one runs a case faster.
   * @returns whether it does
   */
  private async takeFasterProcess(
    name: PeerName,
    request: Record<string, unknown>,
  ): Promise<boolean> {
    const { peers } = this.running;
    const asItIs = peers.get(name) as Contender;
    const look = async (peer: Contender): Promise<number> =>
      (await peer.ask<{ seconds: number }>({ command: 'look', ...request })).seconds;
    const keeping = (await this.sides.peer(name, true)).side;
    let faster = false;
    try {
      const seconds = await look(asItIs);
      faster = (await look(keeping)) < seconds;
      return faster;
    } finally {
      // What `afresh` ends is the one that goes on.
      if (faster) peers.set(name, keeping);
      await (faster ? asItIs : keeping).end();
    }
  }

  /**
   * Whether a training is faster with one thread for each operation, and parts of the batch side by
   * side. `tarflow train` times a few steps to find that out, before a long run.
   */
  private async isFasterUndivided(one: Case): Promise<boolean> {
    if (!this.mayBeUndivided(one)) return false;
    const found = this.undivided.get(caseName(one));
    if (found !== undefined) return found;
    const [divided, undivided] = await this.lookInTurns(one);
    const faster = undivided < worthIt * divided;
    this.undivided.set(caseName(one), faster);
    return faster;
  }

  /** Whether a case is one of those for which `tarflow train` has the choice. */
  private mayBeUndivided({ workload }: Case): boolean {
    return workload === 'training step' && this.device === 'cpu' && this.options.threads > 1;
  }

  /** How long a case takes us divided and undivided, in two processes that take turns, in seconds. */
  private async lookInTurns(one: Case): Promise<[divided: number, undivided: number]> {
    const both: Contender[] = [];
    const least: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    try {
      for (const undivided of [false, true]) {
        const { side } = await this.sides.ours(undivided);
        both.push(side);
        const mode = one.mode ?? 'default';
        await side.ask({ command: 'prepare', ...one, name: 'look', mode });
        await side.ask({ command: 'run', name: 'look', times: 2 });
      }
      for (let turn = 0; turn < 4; turn++) {
        for (const [index, side] of both.entries()) {
          const run = { command: 'run', name: 'look', times: 1 };
          const { seconds } = await side.ask<{ seconds: number }>(run);
          least[index] = Math.min(least[index]!, seconds);
        }
      }
      return least;
    } finally {
      for (const side of both) await side.end();
    }
  }

  /** The times of what is to be measured, by label. */
  private async timed(
    variants: readonly Variant[],
    request: Record<string, unknown>,
    notes: string[],
  ): Promise<Record<string, number[]>> {
    const ready: Variant[] = [];
    for (const variant of variants) {
      const { side, label, mode, optional } = variant;
      try {
        const prepare = { command: 'prepare', ...request, name: label, mode };
        const { note } = await side.ask<{ note?: string }>(prepare);
        if (note) notes.push(`${peerTitles[label as PeerName]}: ${note}`);
        await this.warmUp(variant);
        ready.push(variant);
      } catch (error) {
        if (!optional) throw error;
        notes.push(`${label}: ${(error as Error).message}`);
      }
    }
    const seconds = await this.takeTurns(ready);
    for (const { side, label } of ready) await side.ask({ command: 'release', name: label });
    return seconds;
  }

  /** Traces, compiles, fills caches. A long run does that in its first second. */
  private async warmUp(variant: Variant): Promise<void> {
    let once = 0;
    for (let i = 0; i < 2; i++) {
      once = await this.run(variant, 1);
      if (once > longRun) break;
    }
    // Node compiles what it has run often: a second of short runs, on every side.
    if (once < 0.5) await this.run(variant, Math.ceil(1 / once));
  }

  /**
   * How far the resident memory of a process of its own grows over idle, that is, over the engine
   * started and no model there, at its largest in steps 2 to 10. Step 1 traces and compiles.
   */
  async measureMemory(one: Case): Promise<ResultRow> {
    const { mode = 'default' } = one;
    const file = await this.weightsOf(one.config, one.batch);
    const request = { ...one, name: 'memory', file, device: this.device };
    const measured = async (start: () => Promise<Started>, mode: string): Promise<number[]> => {
      const bytes: number[] = [];
      for (let process = 0; process < memoryProcesses; process++) {
        bytes.push(await memoryGrowth(await start(), { ...request, mode }));
      }
      return bytes;
    };
    const notes: string[] = [];
    const undivided = await this.isFasterUndivided(one);
    if (undivided) notes.push(partsNote);
    const ours = await measured(() => this.sides.ours(undivided), mode);
    const peers: Partial<Record<PeerName, number[]>> = {};
    for (const name of peersFor(one, this.possible)) {
      try {
        peers[name] = await measured(() => this.sides.peer(name), peerMode(name));
      } catch (error) {
        if (!mayFail(name)) throw error;
        notes.push((error as Error).message);
      }
    }
    const graph = mode === 'xla' && (await measured(() => this.sides.ours(undivided), 'graph'));
    const heading = this.heading(one);
    return {
      ...heading,
      name: `${heading.name}, memory`,
      unit: 'B',
      ...figuresOf({ ours, peers, others: graph ? { graph } : {} }),
      ...(notes.length > 0 && { note: notes.join('; ') }),
    };
  }

  /** What a row says of the case, and of when and where it was measured. */
  private heading({ workload, config, batch, precision, mode, baseline }: Case) {
    return {
      name: workload as string,
      configuration: configurationName(config),
      batch,
      precision,
      mode: mode ?? ('default' as const),
      ...(baseline && { baseline }),
      device: this.device,
      date: new Date().toISOString().slice(0, 10),
    };
  }

  /** Our other modes, the default among them, where a case can run in them. */
  private others({ workload, precision, mode, baseline }: Case): Variant[] {
    const { quick, scaling } = this.options;
    if (quick) return [];
    const program = workload === 'training step' || workload === 'forward';
    const modes = [
      ...((precision === 'float32' && program && !scaling) || baseline ? ['eager'] : []),
      ...(mode === 'xla' || baseline ? ['graph'] : program ? ['xla'] : []),
    ];
    const side = this.running.ours;
    return modes.map((mode) => ({ side, label: mode, mode, optional: true }));
  }

  private async takeTurns(variants: Variant[]): Promise<Record<string, number[]>> {
    const seconds: Record<string, number[]> = {};
    const times: Record<string, number> = {};
    const first: Record<string, number[]> = {};
    let slowest = 0;
    for (const variant of variants) {
      const once = await this.run(variant, 1);
      slowest = Math.max(slowest, once);
      // Short runs are repeated, so that a repetition takes a quarter of a second at least.
      times[variant.label] = Math.max(1, Math.ceil(0.25 / once));
      seconds[variant.label] = [];
      first[variant.label] = [once];
    }
    // Longer runs are less disturbed; of those of over 5 s three are enough, and of long ones two.
    const { repetitions } = this.options;
    const count = slowest > longRun ? 1 : slowest > 5 ? Math.min(repetitions, 3) : repetitions;
    if (slowest > longRun) Object.assign(seconds, first);
    for (let i = 0; i < count; i++) {
      const order = i % 2 === 0 ? variants : [...variants].reverse();
      for (const variant of order) {
        seconds[variant.label]?.push(await this.run(variant, times[variant.label] as number));
      }
    }
    return seconds;
  }

  private async run({ side, label }: Variant, times: number): Promise<number> {
    // Threads that wait for work keep a core busy for a moment after their last.
    await new Promise((resolve) => setTimeout(resolve, 20));
    return (await side.ask<{ seconds: number }>({ command: 'run', name: label, times })).seconds;
  }

  private async weightsOf(config: Case['config'], batch: number): Promise<string> {
    const key = JSON.stringify([config, batch]);
    let file = this.weights.get(key);
    if (!file) {
      file = path.join(this.scratch, `weights-${this.weights.size}.safetensors`);
      await this.running.ours.ask({ command: 'weights', config, batch, file });
      this.weights.set(key, file);
    }
    return file;
  }
}

/** Ends a side that has just started, and says how many bytes ten steps made it grow. */
async function memoryGrowth(
  { side }: Started,
  request: { name: string } & Record<string, unknown>,
): Promise<number> {
  const { name } = request;
  try {
    const idle = side.residentMemory();
    await side.ask({ command: 'prepare', ...request });
    await side.ask({ command: 'run', name, times: 1 });
    side.resetPeak();
    await side.ask({ command: 'run', name, times: 9 });
    return side.peakMemory() - idle;
  } finally {
    await side.end();
  }
}

/** torch.compile may fail where nothing else does: a row goes without it then, and says so. */
function mayFail(name: PeerName): boolean {
  return name === 'torch.compile';
}

/** Whether two sides agree; says how far they are apart. */
function announced(title: string, found: readonly Difference[]): boolean {
  const text = found.map(({ what, value }) => `${what} ${value.toExponential(1)}`);
  const verdict = agree(found) ? 'agree' : 'DISAGREE';
  console.log(`${title} ${verdict} (differences: ${text.join(', ')})`);
  return agree(found);
}
