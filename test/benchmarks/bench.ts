/**
 * Our library against PyTorch, side by side on the same cores:
 *
 *     npm run bench -- [--scaling] [--only PATTERN] [--threads 2] [--repetitions N] [--quick]
 *
 * Each side is a process of its own. First both compute the loss, its gradients, samples and a
 * denoising step from the same weights, and a difference ends the benchmark with status 1. Then
 * their repetitions take turns, so that whatever else the machine does meets both. The figures are
 * medians. They are printed and written to results/benchmarks.json and results/benchmarks.png;
 * `--only` keeps the rows whose name matches a regular expression and replaces just these in the file.
 *
 * `--scaling` measures instead how time and memory of a training step grow with tokens (64 to 1024),
 * batch and blocks. It has a section of its own in the file, and results/benchmarks-scaling.png.
 *
 * The ratio that counts is that of our default to PyTorch's eager execution with its fused attention
 * and fused AdamW; our other modes and torch.compile stand beside it.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { packageRoot } from '../../src/workbook/results-folder.js';
import {
  allCases,
  type Case,
  caseName,
  configurationName,
  configurations,
  flops,
  growthCases,
} from './cases.js';
import { Contender } from './contender.js';
import { peerPython } from './peer-environment.js';
import {
  digits,
  type ResultRow,
  rowOf,
  saveRatioFigure,
  saveScalingFigure,
  tableHead,
  tableLine,
} from './report.js';
import { geometricMean, relativeDifference, spreadOf } from './statistics.js';

const root = packageRoot();
const results = path.join(root, 'results');

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

/** Starts the two sides. */
class Sides {
  private readonly python = peerPython(root);

  constructor(private readonly threads: number) {}

  async ours(): Promise<{ side: Contender; hello: Hello }> {
    const threads = String(this.threads);
    const side = new Contender(
      'ours',
      process.execPath,
      ['--import', 'tsx', path.join(__dirname, 'ours.ts')],
      {
        TF_NUM_INTRAOP_THREADS: threads,
        TF_NUM_INTEROP_THREADS: threads,
        TF_CPP_MIN_LOG_LEVEL: '2',
      },
    );
    return { side, hello: await side.ask<Hello>({ command: 'hello' }) };
  }

  async peer(): Promise<{ side: Contender; hello: Hello }> {
    const threads = String(this.threads);
    const side = new Contender('peer', this.python, [path.join(__dirname, 'peer', 'server.py')], {
      OMP_NUM_THREADS: threads,
      PYTHONDONTWRITEBYTECODE: '1',
    });
    return { side, hello: await side.ask<Hello>({ command: 'hello', threads: this.threads }) };
  }
}

/** Seconds from which a run is a long one. */
const longRun = 20;

/** What is measured of one case: on which side, and how it runs there. */
interface Variant {
  side: Contender;
  label: string;
  mode: string;
}

class Benchmark {
  readonly rows: ResultRow[] = [];
  private readonly weights = new Map<string, string>();

  constructor(
    private readonly sides: Sides,
    private readonly ours: Contender,
    private readonly peer: Contender,
    private readonly hello: { ours: Hello; peer: Hello },
    private readonly scratch: string,
    private readonly options: Options,
  ) {}

  /** The largest relative differences between the two sides on a configuration. */
  async compare(config: Case['config'], batch: number): Promise<boolean> {
    const file = await this.weightsOf(config, batch);
    const answers: number[] = [];
    const found = [];
    for (const side of [this.ours, this.peer]) {
      const out = path.join(this.scratch, `${side.label}.safetensors`);
      const request = { config, batch, file, out, device: 'cpu', precision: 'float32' };
      const { loss } = await side.ask<{ loss: number }>({ command: 'gradients', ...request });
      answers.push(loss);
      found.push((await readSafetensors(out)).tensors);
    }
    const [a, b] = answers as [number, number];
    const [mine, theirs] = found as [(typeof found)[0], (typeof found)[0]];
    const worst: Record<string, number> = { loss: Math.abs(a - b) / Math.abs(b) };
    for (const [name, tensor] of Object.entries(theirs)) {
      const kind = name.startsWith('gradient.') ? 'gradients' : name;
      const other = mine[name]?.data ?? [];
      const difference = relativeDifference(other as ArrayLike<number>, tensor.data);
      worst[kind] = Math.max(worst[kind] ?? 0, difference);
    }
    const agree = Object.values(worst).every((difference) => difference <= 2e-4);
    const text = Object.entries(worst).map(([kind, value]) => `${kind} ${value.toExponential(1)}`);
    console.log(
      `${configurationName(config)}: ${agree ? 'both sides agree' : 'THE SIDES DISAGREE'} ` +
        `(relative differences: ${text.join(', ')})`,
    );
    return agree;
  }

  /** The machine's best rate of matrix products in GFLOP/s, on either side. */
  async peak(precision: Case['precision']): Promise<number> {
    const size = 2048;
    let best = Number.POSITIVE_INFINITY;
    for (let turn = 0; turn < 3; turn++) {
      for (const side of [this.ours, this.peer]) {
        const request = { command: 'peak', size, precision, times: 4 };
        best = Math.min(best, (await side.ask<{ seconds: number }>(request)).seconds);
      }
    }
    return (2 * size ** 3) / best / 1e9;
  }

  async measure(one: Case, device: string, peak: number | undefined): Promise<ResultRow> {
    const variants: Variant[] = [
      { side: this.ours, label: 'ours', mode: one.mode ?? 'default' },
      { side: this.peer, label: 'peer', mode: 'default' },
      ...this.others(one),
    ];
    const file = await this.weightsOf(one.config, one.batch);
    const notes: string[] = one.mode ? [`ours in mode ${one.mode}`] : [];
    const ready: Variant[] = [];
    for (const variant of variants) {
      const request = { ...one, name: variant.label, mode: variant.mode, file, device };
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

    const [ours, peer] = [seconds.ours as number[], seconds.peer as number[]];
    const others = Object.entries(seconds)
      .filter(([label]) => label !== 'ours' && label !== 'peer')
      .map(([label, values]) => [label, digits(spreadOf(values).median)]);
    const row: ResultRow = {
      name: one.workload,
      configuration: configurationName(one.config),
      batch: one.batch,
      precision: one.precision,
      device,
      unit: 's',
      ...rowOf(
        spreadOf(ours),
        spreadOf(peer),
        spreadOf(ours.map((value, index) => value / (peer[index] as number))),
      ),
      repetitions: ours.length,
      ...(others.length > 0 && { others: Object.fromEntries(others) }),
      ...(notes.length > 0 && { note: notes.join('; ') }),
    };
    if (peak !== undefined) {
      const rate = (time: number) => digits(flops(one) / time / 1e9);
      const gflops = { ours: rate(row.ours), peer: rate(row.peer) };
      row.gflops = { ...gflops, ofPeak: digits(gflops.ours / peak) };
    }
    return row;
  }

  /**
   * How far the resident memory of a process of its own grows over idle, that is, over the engine
   * started and no model there, at its largest in steps 2 to 10. Step 1 traces and compiles.
   */
  async measureMemory(one: Case): Promise<ResultRow> {
    const file = await this.weightsOf(one.config, one.batch);
    const growth: number[] = [];
    for (const start of [() => this.sides.ours(), () => this.sides.peer()]) {
      const { side } = await start();
      const idle = side.residentMemory();
      const request = { ...one, name: 'memory', mode: 'default', file, device: 'cpu' };
      await side.ask({ command: 'prepare', ...request });
      await side.ask({ command: 'run', name: 'memory', times: 1 });
      side.resetPeak();
      await side.ask({ command: 'run', name: 'memory', times: 9 });
      growth.push(side.peakMemory() - idle);
      side.end();
    }
    const [ours, peer] = growth as [number, number];
    return {
      name: `${one.workload}, memory`,
      configuration: configurationName(one.config),
      batch: one.batch,
      precision: one.precision,
      device: 'cpu',
      unit: 'B',
      ours,
      peer,
      ratio: digits(ours / peer),
    };
  }

  /** Our other modes and the compiled peer, where a case can run in them. */
  private others({ workload, precision, mode }: Case): Variant[] {
    const { quick, scaling } = this.options;
    if (quick || scaling || precision !== 'float32' || /sampling/.test(workload)) return [];
    const modes = workload === 'denoising step' ? [] : ['eager', mode ? 'graph' : 'xla'];
    return [
      ...modes.map((mode) => ({ side: this.ours, label: mode, mode })),
      ...(this.hello.peer.compiler
        ? [{ side: this.peer, label: 'torch.compile', mode: 'compile' }]
        : []),
    ];
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
      await this.ours.ask({ command: 'weights', config, batch, file });
      this.weights.set(key, file);
    }
    return file;
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  const sides = new Sides(options.threads);
  const { side: ours, hello: ourHello } = await sides.ours();
  const { side: peer, hello: peerHello } = await sides.peer();
  const machine: Machine = {
    processor: processorName(),
    cores: os.cpus().length,
    threads: options.threads,
    ours: `${ourHello.version}, Node ${process.version}`,
    peer: peerHello.version,
    date: new Date().toISOString().slice(0, 10),
  };
  console.log(
    Object.entries(machine)
      .map((entry) => entry.join(': '))
      .join('\n'),
  );
  if (!peerHello.compiler) console.log('There is no C++ compiler, so torch.compile is left out.');
  if (!peerHello.bfloat16) {
    console.log('The processor computes no bfloat16 (AVX-512), so there are no rows of it.');
  }
  const gpu = Boolean(ourHello.gpu) && Boolean(peerHello.gpu);
  console.log(
    gpu
      ? `Both sides see a CUDA GPU (${peerHello.gpu}); rows with device cuda are its.`
      : 'There is no CUDA GPU for both sides, so there are no rows of one.',
  );

  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-bench-'));
  try {
    const bench = new Benchmark(
      sides,
      ours,
      peer,
      { ours: ourHello, peer: peerHello },
      scratch,
      options,
    );
    const { quick, scaling } = options;
    const wanted = (name: string) =>
      options.only === undefined || new RegExp(options.only).test(name);
    const rowCases = (scaling ? [] : allCases()).filter(
      ({ precision }) => precision === 'float32' || peerHello.bfloat16,
    );
    const cases = rowCases.filter(
      // A quick run leaves out what takes minutes.
      (one) => wanted(caseName(one)) && !(quick && flops(one) > 3e12),
    );
    const memory = rowCases.filter(
      (one) => one.workload === 'training step' && wanted(`memory of ${caseName(one)}`),
    );
    const growth = (scaling ? growthCases(quick ? 2 : undefined) : []).filter(({ series }) =>
      wanted(series),
    );

    const compared = new Set([...cases, ...memory].map(({ config }) => JSON.stringify(config)));
    const checked = configurations.filter(({ config }) => compared.has(JSON.stringify(config)));
    for (const { config } of [...checked, ...growth.slice(0, 1).map((one) => one.case)]) {
      if (!(await bench.compare(config, 4))) return 1;
    }

    const peaks: Record<string, number> = {};
    for (const precision of new Set(cases.map((one) => one.precision))) {
      const peak = await bench.peak(precision);
      peaks[precision] = peak;
      console.log(`peak of matrix products, ${precision}: ${Math.round(peak)} GFLOP/s`);
    }
    console.log(`\n${tableHead}`);
    const rounded = Object.fromEntries(
      Object.entries(peaks).map(([precision, value]) => [precision, Math.round(value)]),
    );
    const section = scaling ? 'scaling' : 'comparison';
    const about = scaling ? machine : { ...machine, peakGflops: rounded };
    const add = (row: ResultRow) => {
      bench.rows.push(row);
      console.log(tableLine(row));
      // A run that is cut off leaves its rows; one that ends leaves only its own.
      saveRows(bench.rows, about, section, true);
    };
    for (const one of cases)
      add(await bench.measure(one, gpu ? 'cuda' : 'cpu', peaks[one.precision]));
    if (!gpu) for (const one of memory) add(await bench.measureMemory(one));
    for (const { series, size, case: one } of growth) {
      add({
        ...(await bench.measure(one, gpu ? 'cuda' : 'cpu', undefined)),
        growth: { series, size },
      });
      if (!gpu) add({ ...(await bench.measureMemory(one)), growth: { series, size } });
    }
    if (!scaling) printMeans(bench.rows);

    const rows = saveRows(bench.rows, about, section, options.only !== undefined);
    if (scaling) await saveScalingFigure(rows, path.join(results, 'benchmarks-scaling.png'));
    else await saveRatioFigure(rows, path.join(results, 'benchmarks.png'));
    return 0;
  } finally {
    ours.end();
    peer.end();
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** The processor's name, which several kinds may share, and what tells these apart. */
function processorName(): string {
  const name = os.cpus()[0]?.model.trim() ?? 'unknown';
  const file = '/proc/cpuinfo';
  const flags = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split(/\s/) : [];
  const extensions = { avx512f: 'AVX-512', avx512_bf16: 'AVX-512 BF16', amx_bf16: 'AMX' };
  const has = Object.entries(extensions).filter(([flag]) => flags.includes(flag));
  return [name, ...has.map(([, extension]) => extension)].join(', ');
}

/** What a run was on, and when. */
interface Machine {
  processor: string;
  cores: number;
  threads: number;
  ours: string;
  peer: string;
  date: string;
  /** By precision. */
  peakGflops?: Record<string, number>;
}

/** One way to run the benchmark: the machine of its last run, and its rows. */
interface Section {
  machine: Machine;
  rows: ResultRow[];
}

/** results/benchmarks.json, where each way to run the benchmark keeps what the others wrote. */
type ResultFile = Partial<Record<'comparison' | 'scaling', Section>>;

/**
 * Writes rows into their section, in place of all that is there or, if partial, of the same rows and
 * of those of another machine.
 */
function saveRows(
  measured: ResultRow[],
  machine: Machine,
  section: keyof ResultFile,
  partial: boolean,
): ResultRow[] {
  fs.mkdirSync(results, { recursive: true });
  const file = path.join(results, 'benchmarks.json');
  const old: ResultFile = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {};
  const before = old[section];
  const kept = partial && before && isSame(before.machine, machine) ? before : undefined;
  const rows = merged(measured, kept?.rows ?? []);
  const peakGflops = { ...kept?.machine.peakGflops, ...machine.peakGflops };
  const about = Object.keys(peakGflops).length > 0 ? { ...machine, peakGflops } : machine;
  fs.writeFileSync(
    file,
    `${JSON.stringify({ ...old, [section]: { machine: about, rows } } satisfies ResultFile, null, 1)}\n`,
  );
  return rows;
}

/** True where rows of two runs may stand together: all is equal but what a run finds. */
function isSame(a: Machine, b: Machine): boolean {
  const fixed = ({ date, peakGflops, ...rest }: Machine) => JSON.stringify(rest);
  return fixed(a) === fixed(b);
}

/** This run's rows, among those of the file that it did not measure. */
function merged(rows: ResultRow[], old: ResultRow[]): ResultRow[] {
  const key = ({ name, configuration, batch, precision, device, unit, growth }: ResultRow) =>
    JSON.stringify([name, configuration, batch, precision, device, unit, growth]);
  const measured = new Map(rows.map((row) => [key(row), row]));
  const kept = old.map((row) => {
    const replacement = measured.get(key(row));
    measured.delete(key(row));
    return replacement ?? row;
  });
  return [...kept, ...measured.values()];
}

function printMeans(rows: ResultRow[]): void {
  const groups = new Map<string, number[]>();
  for (const row of rows) {
    const group = `${row.name}, ${row.precision}`;
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
