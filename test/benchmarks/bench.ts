/**
 * Our library against PyTorch, side by side on the same cores:
 *
 *     npm run bench -- [--scaling] [--only PATTERN] [--threads 2] [--repetitions N] [--quick]
 *
 * Each side is a process of its own, and of each row. First both run everything once that is to be
 * measured, from the same weights and as it will run: losses and images are compared, and after a
 * training step the gradients and the parameters' steps. A difference ends the benchmark with status
 * 1. Then their repetitions take turns, so that whatever else the machine does meets both; memory is
 * that of three more processes of a side. The figures are medians. Each row is printed and written to
 * results/benchmarks.json as soon as it is measured, among those of the same machine; those of others
 * stay. A run that ends draws the machine's rows in results/benchmarks.png. `--only` keeps the rows
 * whose name matches a regular expression. `--quick` tries the benchmark out, with few repetitions and
 * without what takes minutes; it writes nothing, or with TARFLOW_QUICK=1 into a temporary folder.
 *
 * `--scaling` measures instead how time and memory of a training step grow with tokens (64 to 1024),
 * batch and blocks. Its rows have a section of their own, and results/benchmarks-scaling.png.
 *
 * The ratio that counts is to PyTorch's eager execution with its fused attention and fused AdamW. In
 * rows of mode `default` it is that of what our library does by itself. In rows of mode `xla` it is
 * that of our library asked for XLA: training as `train` does it in long runs by itself, the float32
 * forward pass, and all of the small 4-64-2-1; the graph stands beside. So do our other modes and
 * torch.compile, which take turns among themselves once those two are measured. On a GPU all rows are
 * of mode `default`.
 *
 * How long PyTorch takes on a processor depends on how the heap of the C library happens to lie in a
 * process: up to twice as long where large tensors go back to the system, which hands them out anew
 * page by page. So the peer starts twice for a row of time, once as it is and once with an allocator
 * that keeps what is freed, and the faster is measured; the row's note says if that is the second.
 * Where a single run takes minutes it runs as it is.
 *
 * Rows of the models of notebook 08 have the time of sequential sampling in each of our modes beside
 * PyTorch's: the baseline of what the notebook measures. No mean and no chart has them.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../src/backend/errors.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { inQuickMode } from '../../src/workbook/quick.js';
import { packageRoot, resultFile } from '../../src/workbook/results-folder.js';
import { agree, comparisons, differences } from './agreement.js';
import {
  allCases,
  type Case,
  caseName,
  configurationName,
  flops,
  growthCases,
  learningRate,
  takesMinutes,
} from './cases.js';
import { Contender } from './contender.js';
import { peerPython } from './peer-environment.js';
import {
  digits,
  figuresOf,
  type Measurements,
  type ResultRow,
  saveRatioFigure,
  saveScalingFigure,
  tableHead,
  tableLine,
} from './report.js';
import { type Machine, saveRows } from './results-file.js';
import { geometricMean } from './statistics.js';

interface Options {
  only: string | undefined;
  threads: number;
  repetitions: number;
  quick: boolean;
  scaling: boolean;
}

interface Hello {
  version: string;
  gpu: boolean | string | null;
  compiler?: boolean;
  bfloat16?: boolean;
}

/** A side that has started, and what it says of itself. */
interface Started {
  side: Contender;
  hello: Hello;
}

/** Starts the two sides. */
class Sides {
  private readonly python = peerPython(packageRoot());

  constructor(private readonly threads: number) {}

  ours(): Promise<Started> {
    const threads = String(this.threads);
    const program = ['--import', 'tsx', path.join(__dirname, 'ours.ts')];
    return this.started(
      new Contender('ours', process.execPath, program, {
        TF_NUM_INTRAOP_THREADS: threads,
        TF_NUM_INTEROP_THREADS: threads,
        TF_CPP_MIN_LOG_LEVEL: '2',
      }),
    );
  }

  /** @param keepsMemory whether the C library keeps what is freed for what comes next */
  peer(keepsMemory = false): Promise<Started> {
    return this.started(
      new Contender('peer', this.python, [path.join(__dirname, 'peer', 'server.py')], {
        OMP_NUM_THREADS: String(this.threads),
        PYTHONDONTWRITEBYTECODE: '1',
        ...(keepsMemory && {
          MALLOC_TRIM_THRESHOLD_: '100000000000',
          MALLOC_MMAP_THRESHOLD_: '100000000000',
          MALLOC_TOP_PAD_: '268435456',
        }),
      }),
    );
  }

  private async started(side: Contender): Promise<Started> {
    try {
      const hello = await side.ask<Hello>({ command: 'hello', threads: this.threads });
      return { side, hello };
    } catch (error) {
      await side.end();
      throw error;
    }
  }
}

/** Seconds from which a run is a long one. */
const longRun = 20;

/** Processes of a side whose memory is measured. */
const memoryProcesses = 3;

/** Largest relative difference between the sides, by what rounds their matrix products. */
const tolerances = { float32: 2e-4, tf32: 2e-2, bfloat16: 2e-2 };

/** What is measured of one case: on which side, and how it runs there. */
interface Variant {
  side: Contender;
  label: string;
  mode: string;
}

class Benchmark {
  private readonly weights = new Map<string, string>();
  private running: { ours: Contender; peer: Contender } | undefined;

  constructor(
    private readonly sides: Sides,
    private readonly machine: Machine,
    private readonly hasCompiler: boolean,
    private readonly scratch: string,
    private readonly options: Options,
  ) {}

  /** Runs something with both sides as new processes, to which nothing clings from before. */
  async afresh<Result>(work: () => Promise<Result>): Promise<Result> {
    const ours = (await this.sides.ours()).side;
    try {
      this.running = { ours, peer: (await this.sides.peer()).side };
      return await work();
    } finally {
      await this.running?.peer.end();
      this.running = undefined;
      await ours.end();
    }
  }

  /**
   * Goes on with the peer that keeps the memory it frees, if that one runs a case faster.
   * @returns whether it does
   */
  private async takeFasterPeer(request: Record<string, unknown>): Promise<boolean> {
    const running = this.running as { ours: Contender; peer: Contender };
    const look = async (peer: Contender): Promise<number> =>
      (await peer.ask<{ seconds: number }>({ command: 'look', ...request })).seconds;
    const keeping = (await this.sides.peer(true)).side;
    try {
      const [asItIs, kept] = [await look(running.peer), await look(keeping)];
      const faster = kept < asItIs;
      // What `afresh` ends is the one that goes on.
      await (faster ? running.peer : keeping).end();
      if (faster) running.peer = keeping;
      return faster;
    } catch (error) {
      await keeping.end();
      throw error;
    }
  }

  private get ours(): Contender {
    return this.side('ours');
  }

  private get peer(): Contender {
    return this.side('peer');
  }

  private side(name: 'ours' | 'peer'): Contender {
    if (!this.running) throw new Error('The sides do not run: call this in `afresh`.');
    return this.running[name];
  }

  private get device(): 'cpu' | 'cuda' {
    return this.machine.gpu === undefined ? 'cpu' : 'cuda';
  }

  /** Whether both sides find the same in a case, but for rounding; says so. */
  async compare(one: Case): Promise<boolean> {
    const file = await this.weightsOf(one.config, one.batch);
    const mode = one.mode ?? 'default';
    const check = async (side: Contender, mode: string) => {
      const out = path.join(this.scratch, `${side.label}.safetensors`);
      await side.ask({ command: 'check', ...one, mode, file, out, device: this.device });
      return (await readSafetensors(out)).tensors;
    };
    const { tensors: given } = await readSafetensors(file);
    const ours = await check(this.ours, mode);
    const peer = await check(this.peer, 'default');
    const rounding = one.precision === 'float32' && this.machine.tf32 ? 'tf32' : one.precision;
    const found = differences(ours, peer, {
      tolerance: tolerances[rounding],
      learningRate,
      input: one.workload === 'denoising step' ? given.images?.data : undefined,
    });
    const text = found.map(({ what, value }) => `${what} ${value.toExponential(1)}`);
    const verdict = agree(found) ? 'both sides agree' : 'THE SIDES DISAGREE';
    console.log(`${caseName(one)}, ${mode}: ${verdict} (differences: ${text.join(', ')})`);
    return agree(found);
  }

  /** The machine's best rate of matrix products in GFLOP/s, on either side. */
  async peak(precision: Case['precision']): Promise<number> {
    const size = 2048;
    let best = Number.POSITIVE_INFINITY;
    for (let turn = 0; turn < 3; turn++) {
      for (const side of [this.ours, this.peer]) {
        const request = { command: 'peak', size, precision, device: this.device, times: 4 };
        best = Math.min(best, (await side.ask<{ seconds: number }>(request)).seconds);
      }
    }
    return (2 * size ** 3) / best / 1e9;
  }

  /** @param peak of the machine's matrix products in GFLOP/s, where the rate matters */
  async measure(one: Case, peak?: number): Promise<ResultRow> {
    const file = await this.weightsOf(one.config, one.batch);
    const notes: string[] = [];
    // Where a single run takes minutes, it is sampling, whose tensors are those of a token, and small.
    if (this.device === 'cpu' && !takesMinutes(one)) {
      const request = { ...one, mode: 'default', file, device: this.device };
      if (await this.takeFasterPeer(request)) notes.push("peer's freed memory kept");
    }
    const timed = async (contenders: readonly Variant[]): Promise<Measurements> => {
      const ready: Variant[] = [];
      for (const variant of contenders) {
        const request = {
          ...one,
          name: variant.label,
          mode: variant.mode,
          file,
          device: this.device,
        };
        try {
          const prepare = { command: 'prepare', ...request };
          const { note } = await variant.side.ask<{ note?: string }>(prepare);
          if (note) notes.push(`peer's ${note}`);
          // Warms up: traces, compiles, fills caches. A long run does that in its first second.
          let once = 0;
          for (let i = 0; i < 2; i++) {
            once = await this.run(variant, 1);
            if (once > longRun) break;
          }
          // Node compiles what it has run often: a second of short runs, on both sides.
          if (once < 0.5) await this.run(variant, Math.ceil(1 / once));
          ready.push(variant);
        } catch (error) {
          if (variant.label === 'ours' || variant.label === 'peer') throw error;
          notes.push(`${variant.label}: ${(error as Error).message}`);
        }
      }
      const seconds = await this.takeTurns(ready);
      for (const { side, label } of ready) await side.ask({ command: 'release', name: label });
      return seconds;
    };
    const compared = await timed([
      { side: this.ours, label: 'ours', mode: one.mode ?? 'default' },
      { side: this.peer, label: 'peer', mode: 'default' },
    ]);
    // The others come afterwards: what they free in the same process, ours would have to fetch from
    // the system again in its next turn.
    const others = await timed(this.others(one));
    const seconds = { ...others, ...compared };

    const figures = figuresOf(seconds);
    const rate = (time: number) => digits(flops(one) / time / 1e9);
    return {
      ...this.heading(one),
      unit: 's',
      ...figures,
      ...(notes.length > 0 && { note: notes.join('; ') }),
      ...(peak !== undefined && {
        gflops: {
          ours: rate(figures.ours),
          peer: rate(figures.peer),
          peak: digits(peak),
          ofPeak: digits(rate(figures.ours) / peak),
        },
      }),
    };
  }

  /**
   * How far the resident memory of a process of its own grows over idle, that is, over the engine
   * started and no model there, at its largest in steps 2 to 10. Step 1 traces and compiles.
   */
  async measureMemory(one: Case): Promise<ResultRow> {
    const file = await this.weightsOf(one.config, one.batch);
    const growth = async (starting: Promise<Started>, mode: string): Promise<number> => {
      const { side } = await starting;
      try {
        const idle = side.residentMemory();
        const request = { ...one, name: 'memory', mode, file, device: this.device };
        await side.ask({ command: 'prepare', ...request });
        await side.ask({ command: 'run', name: 'memory', times: 1 });
        side.resetPeak();
        await side.ask({ command: 'run', name: 'memory', times: 9 });
        return side.peakMemory() - idle;
      } finally {
        await side.end();
      }
    };
    const { mode = 'default' } = one;
    const bytes: Measurements = { ours: [], peer: [], ...(mode === 'xla' && { graph: [] }) };
    for (let process = 0; process < memoryProcesses; process++) {
      bytes.ours.push(await growth(this.sides.ours(), mode));
      bytes.peer.push(await growth(this.sides.peer(), 'default'));
      bytes.graph?.push(await growth(this.sides.ours(), 'graph'));
    }
    const heading = this.heading(one);
    return { ...heading, name: `${heading.name}, memory`, unit: 'B', ...figuresOf(bytes) };
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

  /** Our other modes, the default among them, and the compiled peer, where a case can run in them. */
  private others({ workload, precision, mode, baseline }: Case): Variant[] {
    const { quick, scaling } = this.options;
    if (quick) return [];
    const float32 = precision === 'float32';
    const program = workload === 'training step' || workload === 'forward';
    const modes = [
      ...((float32 && program && !scaling) || baseline ? ['eager'] : []),
      ...(mode === 'xla' || baseline ? ['graph'] : program ? ['xla'] : []),
    ];
    const compiles =
      float32 && (program || workload === 'denoising step') && this.hasCompiler && !scaling;
    return [
      ...modes.map((mode) => ({ side: this.ours, label: mode, mode })),
      ...(compiles ? [{ side: this.peer, label: 'torch.compile', mode: 'compile' }] : []),
    ];
  }

  private async takeTurns(variants: Variant[]): Promise<Measurements> {
    const seconds: Measurements = { ours: [], peer: [] };
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
      await this.ours.ask({ command: 'weights', config, batch, file });
      this.weights.set(key, file);
    }
    return file;
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  const sides = new Sides(options.threads);
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-bench-'));
  try {
    const ours = await sides.ours();
    await ours.side.end();
    const peer = await sides.peer();
    await peer.side.end();
    const machine = machineOf(options.threads, ours.hello, peer.hello);
    announce(machine, peer.hello);
    const bench = new Benchmark(sides, machine, peer.hello.compiler === true, scratch, options);
    return await measureAll(bench, machine, peer.hello.bfloat16 === true, options);
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * What both sides run on, and their versions.
 * @throws Error where they would not run on the same device
 */
function machineOf(threads: number, ours: Hello, peer: Hello): Machine {
  if (ours.gpu && !peer.gpu) {
    throw new Error(
      `Ours computes on a CUDA GPU, and ${peer.version} of .venv-bench sees none. Expected a build ` +
        'of PyTorch with CUDA there, or CUDA_VISIBLE_DEVICES= to compare the processor.',
    );
  }
  return {
    processor: processorText(),
    cores: os.cpus().length,
    threads,
    ...(ours.gpu && {
      gpu: String(peer.gpu),
      tf32: process.env.NVIDIA_TF32_OVERRIDE !== '0',
    }),
    ours: `${ours.version}, Node ${process.version}`,
    peer: peer.version,
  };
}

function announce(machine: Machine, peer: Hello): void {
  for (const entry of Object.entries(machine)) console.log(entry.join(': '));
  if (!peer.compiler) console.log('There is no C++ compiler, so torch.compile is left out.');
  if (!peer.bfloat16) {
    console.log('The processor computes no bfloat16 (AVX-512), so there are no rows of it.');
  }
  console.log(
    machine.gpu === undefined
      ? 'There is no CUDA GPU for both sides, so there are no rows of one.'
      : 'Both sides see a CUDA GPU; rows with device cuda are its.',
  );
}

/** Measures what the options ask for, row by row; returns the exit status. */
async function measureAll(
  bench: Benchmark,
  machine: Machine,
  hasBfloat16: boolean,
  { only, quick, scaling }: Options,
): Promise<number> {
  const wanted = (name: string) => only === undefined || new RegExp(only).test(name);
  const onGpu = machine.gpu !== undefined;
  const possible = (scaling ? [] : allCases(onGpu)).filter(
    ({ precision }) => precision === 'float32' || hasBfloat16,
  );
  const cases = possible.filter((one) => wanted(caseName(one)) && !(quick && takesMinutes(one)));
  const measuresMemory = !onGpu;
  const memory = possible.filter(
    (one) =>
      measuresMemory && one.workload === 'training step' && wanted(`memory of ${caseName(one)}`),
  );
  const grown = scaling ? growthCases(quick ? 1 : undefined, onGpu) : [];
  const series = grown
    .map(({ growth, ...rest }) => ({ ...rest, growth: growth.filter((at) => wanted(at.series)) }))
    .filter(({ growth }) => growth.length > 0);

  const measured = [...cases, ...memory, ...series.map((one) => one.case)];
  if (measured.length === 0) {
    const names = scaling
      ? grown.flatMap(({ growth }) => growth.map((at) => at.series))
      : [...new Map(possible.map((one) => [one.workload, caseName(one)])).values()];
    throw new UserError(
      `--only ${only} leaves no row of those that can be measured here`,
      `Expected a regular expression for names such as: ${[...new Set(names)].join('; ')}`,
    );
  }
  for (const alike of byConfiguration(comparisons(measured))) {
    const agree = await bench.afresh(async () => {
      for (const one of alike) if (!(await bench.compare(one))) return false;
      return true;
    });
    if (!agree) return 1;
  }
  const peaks: Partial<Record<Case['precision'], number>> = {};
  for (const precision of new Set(cases.map((one) => one.precision))) {
    const peak = await bench.afresh(() => bench.peak(precision));
    peaks[precision] = peak;
    console.log(`peak of matrix products, ${precision}: ${Math.round(peak)} GFLOP/s`);
  }

  console.log(`\n${tableHead}`);
  const rows: ResultRow[] = [];
  const section = scaling ? 'scaling' : 'comparison';
  const saves = !quick || inQuickMode();
  // A run that is cut off leaves its rows among the old ones.
  const save = async (complete = false) =>
    saves ? saveRows({ machine, section, rows, complete }) : rows;
  const add = async (row: ResultRow) => {
    rows.push(row);
    console.log(tableLine(row));
    await save();
  };
  for (const one of cases) {
    await add(await bench.afresh(() => bench.measure(one, peaks[one.precision])));
  }
  for (const one of memory) await add(await bench.afresh(() => bench.measureMemory(one)));
  for (const { growth, case: one } of series) {
    const time = await bench.afresh(() => bench.measure(one));
    for (const at of growth) await add({ ...time, growth: at });
    if (!measuresMemory) continue;
    const bytes = await bench.afresh(() => bench.measureMemory(one));
    for (const at of growth) await add({ ...bytes, growth: at });
  }
  if (!scaling) printMeans(rows);

  const all = await save(only === undefined && !quick);
  if (!saves) {
    console.log('\nNothing was written, for these are figures of a quick run.');
    return 0;
  }
  if (scaling) await saveScalingFigure(all, machine, resultFile('benchmarks-scaling.png'));
  else await saveRatioFigure(all, machine, resultFile('benchmarks.png'));
  return 0;
}

/** Cases in groups of one configuration. */
function byConfiguration(cases: readonly Case[]): Case[][] {
  const groups = new Map<string, Case[]>();
  for (const one of cases) {
    const key = JSON.stringify(one.config);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()];
}

/** The processor's name, and its extensions that count here. */
function processorText(): string {
  const file = '/proc/cpuinfo';
  const flags = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split(/\s/) : [];
  const extensions = { avx512f: 'AVX-512', avx512_bf16: 'AVX-512 BF16', amx_bf16: 'AMX' };
  const has = Object.entries(extensions).filter(([flag]) => flags.includes(flag));
  return [processorName(), ...has.map(([, extension]) => extension)].join(', ');
}

function printMeans(rows: ResultRow[]): void {
  const groups = new Map<string, number[]>();
  for (const row of rows) {
    const group = `${row.name}, ${row.precision}${row.baseline ? ', models of notebook 08' : ''}`;
    groups.set(group, [...(groups.get(group) ?? []), row.ratio]);
  }
  console.log('\nGeometric means of the ratios:');
  for (const [group, ratios] of groups) {
    console.log(
      `${group}: ${geometricMean(ratios).toFixed(3)} (largest ${Math.max(...ratios).toFixed(3)})`,
    );
  }
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      threads: { type: 'string', default: '2' },
      repetitions: { type: 'string' },
      quick: { type: 'boolean', default: false },
      scaling: { type: 'boolean', default: false },
    },
  });
  const repetitions = values.repetitions ?? (values.quick ? '3' : '15');
  return {
    only: values.only,
    quick: values.quick,
    scaling: values.scaling,
    threads: wholeNumber('threads', values.threads),
    repetitions: wholeNumber('repetitions', repetitions),
  };
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`--${name} got '${text}', expected a whole number above 0.`);
  }
  return value;
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
