import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { disposeModel } from '../../src/flow/flow.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { modelFingerprint, type Plan } from '../../src/sampling/planner/plan-file.js';
import { committedCheckpoint } from '../committed-run.js';
import { type ComparedFigures, peersOf } from '../report/benchmark-rows.js';
import { resultFile, resultsFolder, resultToRead } from '../results-folder.js';
import type { Acceleration } from './acceleration.js';

/** A run of `tarflow accelerate`: tables of one model in one mode. */
export interface AccelerationRun {
  /** The name of a checkpoint. */
  model: string;
  mode: string;
  batches: readonly number[];
  /** How often each batch is timed, one number for all batches or one per batch. */
  repeats: readonly number[];
  /** The classes, which take turns over all samples. */
  labels: readonly number[];
}

const oneClass = { repeats: [3], labels: [0] };

/** What lies in `results/acceleration/`. The slowest, of 1,024 tokens op by op, is of one image. */
export const accelerationRuns: readonly AccelerationRun[] = [
  ...['xla', 'graph', 'eager'].map((mode) => ({
    ...{ model: 'emoji-256-tokens', mode, batches: [1, 8, 32] },
    ...oneClass,
  })),
  ...['xla', 'graph'].map((mode) => ({
    ...{ model: 'emoji-1024-tokens', mode, batches: [1, 8] },
    ...oneClass,
  })),
  { model: 'emoji-1024-tokens', mode: 'eager', batches: [1], ...oneClass },
];

/** Table 1 by the largest flow of 256 tokens, over as many samples as say something of them all. */
export const wideRuns: readonly AccelerationRun[] = [
  {
    ...{ model: 'emoji-conditional', mode: 'xla', batches: [1, 8], repeats: [64, 8] },
    labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  },
];

/** What a run wrote. */
export interface AccelerationRecord {
  checkpoint: string;
  /** The images for CRM and IGM; null for samples of the model. */
  data: string | null;
  tables: Acceleration[];
  cost: { seconds: number; cores: number };
  command: string;
  date: string;
}

/** A table of `results/acceleration/`. */
export interface RecordedTable {
  model: string;
  mode: string;
  table: Acceleration;
  record: AccelerationRecord;
}

const fileOf = ({ model, mode }: AccelerationRun): string => `acceleration/${model}-${mode}.json`;

/** All tables that were measured of some runs, in their order; a run without a file has none. */
export function readAccelerations(runs = accelerationRuns): RecordedTable[] {
  return runs.flatMap((run) => {
    const file = resultToRead(fileOf(run));
    if (!existsSync(file)) return [];
    const record = JSON.parse(readFileSync(file, 'utf8')) as AccelerationRecord;
    const { model, mode } = run;
    return record.tables.map((table) => ({ model, mode, table, record }));
  });
}

/**
 * Measures tables anew, by `tarflow accelerate`: all of `accelerationRuns` in an hour on two quiet
 * cores, those of `wideRuns` in half of one.
 * @param onRun called before each run with its number, from 0
 */
export async function measureAccelerations(
  onRun: (index: number, run: AccelerationRun) => void,
  runs = accelerationRuns,
): Promise<void> {
  const root = path.dirname(resultsFolder());
  for (const [index, run] of runs.entries()) {
    onRun(index, run);
    const checkpoint = path.relative(root, committedCheckpoint(run.model));
    const words = ['accelerate', checkpoint, '--batch', run.batches.join(',')];
    words.push('--repeats', run.repeats.join(','), '--label', run.labels.join(','));
    words.push('--guidance', '1', '--mode', run.mode);
    words.push('--output', resultFile(fileOf(run)));
    await promisify(execFile)('npx', ['tarflow', ...words], { cwd: root, maxBuffer: 1e8 });
  }
}

/** The tables of another checkpoint than the one that lies in `results/` now. */
export async function outdatedTables(tables: readonly RecordedTable[]): Promise<RecordedTable[]> {
  const outdated: RecordedTable[] = [];
  for (const model of new Set(tables.map((one) => one.model))) {
    const flow = await loadCheckpoint(committedCheckpoint(model));
    const fingerprint = modelFingerprint(flow);
    disposeModel(flow);
    const own = tables.filter((one) => one.model === model);
    outdated.push(...own.filter(({ table }) => table.model !== fingerprint));
  }
  return outdated;
}

/** False where a plan is sequential in every block: its row is then the same run as `sequential`. */
export function planIterates({ solvers }: Pick<Plan, 'solvers'>): boolean {
  return solvers.some(({ kind }) => kind !== 'sequential');
}

/** The time of a sequential loop over tokens beside that of PyTorch's. */
export interface LoopTime {
  /** For example '256 tokens'. */
  tokens: string;
  batch: number;
  mode: 'xla' | 'graph' | 'eager';
  /** Of a batch. */
  seconds: number;
  /** Of PyTorch's loop, likewise. */
  peer: number;
}

/** How fast the sequential loops are, on the machine that measured them. */
export interface LoopTimes {
  machine: { processor: string; threads: number; peer: string };
  loops: LoopTime[];
}

/** A row of results/benchmarks.json, in seconds; `ours` is as `sample` runs it, with XLA's loop. */
interface Benchmark extends ComparedFigures {
  name: string;
  configuration: string;
  batch: number;
  precision: string;
  device: string;
}

/** The sizes of the emoji models, as the benchmark names them. */
const benchmarked: Readonly<Record<string, string>> = {
  '2-128-4-2 on 32×32×3': '256 tokens',
  '2-64-8-1 on 64×64×3': '1,024 tokens',
};

/**
 * Guided sequential sampling by models of the sizes of the emoji models, as `npm run bench` measured
 * it on the first machine that did, in float32 on its processor.
 */
export function readLoopTimes(): LoopTimes | undefined {
  const file = path.join(resultsFolder(), 'benchmarks.json');
  if (!existsSync(file)) return undefined;
  const machines = JSON.parse(readFileSync(file, 'utf8')) as {
    machine: LoopTimes['machine'];
    comparison?: Benchmark[];
  }[];
  for (const { machine, comparison = [] } of machines) {
    const loops = comparison.filter(isGuidedLoop).flatMap(loopTimes);
    if (loops.length > 0) return { machine, loops };
  }
  return undefined;
}

function isGuidedLoop({ name, configuration, precision, device }: Benchmark): boolean {
  const ofItsSize = benchmarked[configuration] !== undefined;
  return name === 'guided sampling' && ofItsSize && precision === 'float32' && device === 'cpu';
}

function loopTimes(row: Benchmark): LoopTime[] {
  const { configuration, batch, ours, others } = row;
  const tokens = benchmarked[configuration] as string;
  const peer = peersOf(row)['pytorch eager'] as number;
  const times = [
    { mode: 'xla', seconds: ours },
    { mode: 'graph', seconds: others?.graph },
    { mode: 'eager', seconds: others?.eager },
  ] as const;
  return times.flatMap(({ mode, seconds }) =>
    seconds === undefined ? [] : [{ tokens, batch, mode, seconds, peer }],
  );
}

/** What `test/benchmarks/paper-size.ts` wrote: one image of a model of a paper's size. */
export interface PaperSize {
  model: string;
  execution: string;
  parameters: number;
  /** When it was measured, as ISO 8601. */
  date: string;
  tolerance: number;
  cost: { threads: number };
  rows: {
    strategy: string;
    solver: string;
    /** Of the whole run, and by block from the data. */
    seconds: number;
    blockSeconds: number[];
    speedup: number;
    iterations: number[];
    error: number;
    peakGigabytes: number;
  }[];
  command: string;
}

/** Sampling at the size of a paper's model, with random weights, where it was measured. */
export function readPaperSize(): PaperSize | undefined {
  const file = path.join(resultsFolder(), 'acceleration', 'paper-size.json');
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, 'utf8')) as PaperSize;
}
