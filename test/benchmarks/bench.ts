/**
 * Our library against its peers, side by side on the same cores: `npm run bench`, whose options
 * options.ts explains.
 *
 * Each side is a process of its own, and of each row. First PyTorch and JAX are checked against the
 * golden files, and then all sides run everything once that is to be measured, from the same weights
 * and as it will run: losses and images are compared, and after a training step the gradients and the
 * parameters' steps. A difference ends the benchmark with status 1. Then their repetitions take turns,
 * so that whatever else the machine does meets all; memory is that of three more processes of a side.
 * The figures are medians. Each row is printed and written to results/benchmarks.json as soon as it is
 * measured, among those of the same machine; those of others stay. A run of all rows draws the machine's
 * rows in results/benchmarks.png, or those of a run with `--scaling` in results/benchmarks-scaling.png.
 * With `--quick` and TARFLOW_QUICK=1 both go into a temporary folder.
 *
 * The ratio that counts is to the best peer: PyTorch's eager execution with its fused attention and
 * fused AdamW, torch.compile in its default mode, or JAX, whichever is fastest in the row. In rows of
 * mode `default` it is that of what our library does by itself. In rows of mode `xla` it is that of our
 * library asked for XLA: training as `train` does it in long runs by itself, the float32 forward pass,
 * and all of the small 4-64-2-1; the graph stands beside. So do our other modes, which take turns among
 * themselves once the sides are measured. On a GPU all rows are of mode `default`.
 *
 * How long a peer takes on a processor depends on how the heap of the C library happens to lie in a
 * process: up to twice as long where large tensors go back to the system, which hands them out anew
 * page by page. So each peer starts twice for a row of time, once as it is and once with an allocator
 * that keeps what is freed, and the faster is measured; the row's note says if that is the second.
 * Where a single run takes minutes it runs as it is.
 *
 * Rows of the models of report 4 have the time of sequential sampling in each of our modes beside
 * the peers': the baseline of what the notebook measures. No mean and no chart has them.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { UserError } from '../../src/core/errors.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { inQuickMode, resultFile, resultsFolder } from '../../workbook/records/results-folder.js';
import { comparisons } from './agreement.js';
import { Benchmark } from './benchmark.js';
import { allCases, type Case, caseName, growthCases, takesMinutes } from './cases.js';
import { help, type Options, readOptions } from './options.js';
import {
  type ResultRow,
  saveRatioFigure,
  saveScalingFigure,
  slowerRows,
  tableHead,
  tableLine,
} from './report.js';
import { type Machine, saveRows } from './results-file.js';
import { type Hello, Sides } from './sides.js';
import { geometricMean } from './statistics.js';

async function main(): Promise<number> {
  const options = readOptions();
  if (!options) {
    console.log(help);
    return 0;
  }
  if (options.update) process.env.TARFLOW_RESULTS = resultsFolder();
  const sides = new Sides(options.threads);
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-bench-'));
  try {
    const hello = async (starting: ReturnType<Sides['ours']>): Promise<Hello> => {
      const { side, hello } = await starting;
      await side.end();
      return hello;
    };
    const ours = await hello(sides.ours());
    const pytorch = await hello(sides.peer('pytorch eager'));
    sides.onGpu = ours.gpu === true;
    const jax = await hello(sides.peer('jax'));
    const machine = machineOf(options.threads, ours, pytorch, jax);
    announce(machine, pytorch);
    const possible = {
      gpu: machine.gpu !== undefined,
      jax: machine.jax !== undefined,
      compile: pytorch.compiler === true && !options.quick,
    };
    const bench = new Benchmark(sides, machine, possible, scratch, options);
    return await measureAll(bench, machine, pytorch.bfloat16 === true, options);
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * What all sides run on, and their versions.
 * @throws Error where they would not run on the same device
 */
function machineOf(threads: number, ours: Hello, peer: Hello, jax: Hello): Machine {
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
    // On a GPU, where JAX finds that.
    ...((!ours.gpu || jax.gpu) && { jax: jax.version }),
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
      ? 'There is no CUDA GPU for all sides, so there are no rows of one.'
      : `Rows with device cuda are of a CUDA GPU, which ${machine.jax ? 'all sides see' : 'JAX does not see'}.`,
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
  if (!(await allAgree(bench, measured))) return 1;
  const peaks: Partial<Record<Case['precision'], number>> = {};
  for (const precision of new Set(cases.map((one) => one.precision))) {
    const peak = await bench.afresh(cases.slice(0, 1), () => bench.peak(precision));
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
    await add(await bench.afresh([one], () => bench.measure(one, peaks[one.precision])));
  }
  for (const one of memory) await add(await bench.afresh([], () => bench.measureMemory(one)));
  for (const { growth, case: one } of series) {
    const time = await bench.afresh([one], () => bench.measure(one));
    for (const at of growth) await add({ ...time, growth: at });
    if (!measuresMemory) continue;
    const bytes = await bench.afresh([], () => bench.measureMemory(one));
    for (const at of growth) await add({ ...bytes, growth: at });
  }
  if (!scaling) printMeans(rows);
  printSlower(rows);

  const all = await save(only === undefined && !quick);
  if (!saves) {
    console.log('\nNothing was written, for these are figures of a quick run.');
    return 0;
  }
  if (scaling) await saveScalingFigure(all, machine, resultFile('benchmarks-scaling.png'));
  // A chart of a few rows would take the place of one of all.
  else if (only === undefined) await saveRatioFigure(all, machine, resultFile('benchmarks.png'));
  return 0;
}

/** Whether peers and golden files agree, and all sides in what is to be measured. */
async function allAgree(bench: Benchmark, measured: readonly Case[]): Promise<boolean> {
  if (!(await bench.compareWithGolden())) return false;
  for (const alike of byConfiguration(comparisons(measured))) {
    const agree = await bench.afresh(alike, async () => {
      for (const one of alike) if (!(await bench.compare(one))) return false;
      return true;
    });
    if (!agree) return false;
  }
  return true;
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
    const group = `${row.name}, ${row.precision}${row.baseline ? ', models of report 4' : ''}`;
    groups.set(group, [...(groups.get(group) ?? []), row.ratio]);
  }
  console.log('\nGeometric means of the ratios:');
  for (const [group, ratios] of groups) {
    console.log(
      `${group}: ${geometricMean(ratios).toFixed(3)} (largest ${Math.max(...ratios).toFixed(3)})`,
    );
  }
}

function printSlower(rows: readonly ResultRow[]): void {
  const slower = slowerRows(rows);
  console.log(slower.length === 0 ? '\nNo row is above 1.' : '\nRows above 1, with the best peer:');
  for (const line of slower) console.log(line);
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
