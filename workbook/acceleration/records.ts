import { execFile } from 'node:child_process';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { disposeModel } from '../../src/flow/state-dict.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { modelFingerprint, type Plan } from '../../src/sampling/planner/plan-file.js';
import { type BenchmarkRow, readBenchmarks } from '../records/benchmarks.js';
import { type Figures, figuresOf } from '../records/claim.js';
import type { Acceleration } from '../records/record.js';
import { type RecordOf, readRecord } from '../records/record.js';
import { resultFile, resultsFolder, resultToRead } from '../records/results-folder.js';
import { committedCheckpoint } from '../records/training-run.js';
import { statisticsInSeeds } from './acceleration-table.js';
import { strategyRow } from './measure.js';

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

const modes = ['xla', 'graph', 'eager'] as const;
const oneClass = { repeats: [3], labels: [0] };

/** What lies in `results/acceleration/`. The slowest, of 1,024 tokens op by op, is of one image. */
export const accelerationRuns: readonly AccelerationRun[] = [
  ...modes.map((mode) => ({ model: 'emoji-256-tokens', mode, batches: [1, 8, 32], ...oneClass })),
  { model: 'emoji-1024-tokens', mode: 'xla', batches: [1, 8], ...oneClass },
  { model: 'emoji-1024-tokens', mode: 'graph', batches: [1, 8], ...oneClass },
  { model: 'emoji-1024-tokens', mode: 'eager', batches: [1], ...oneClass },
];

/** Table 1 by the largest flow of 256 tokens, over as many samples as say something of them all. */
export const wideRuns: readonly AccelerationRun[] = [
  {
    model: 'emoji-conditional',
    mode: 'xla',
    batches: [1, 8],
    repeats: [64, 8],
    labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  },
];

/** A table of `results/acceleration/`. */
export interface RecordedTable {
  model: string;
  mode: string;
  table: Acceleration;
  record: RecordOf<'acceleration'>;
}

const fileOf = ({ model, mode }: AccelerationRun): string => `acceleration/${model}-${mode}.json`;

/** All tables that were measured of some runs, in their order; a run without a file has none. */
export async function readAccelerations(runs = accelerationRuns): Promise<RecordedTable[]> {
  const tables: RecordedTable[] = [];
  for (const run of runs) {
    const { model, mode } = run;
    const record = await readRecord('acceleration', resultToRead(fileOf(run)));
    if (record) tables.push(...record.tables.map((table) => ({ model, mode, table, record })));
  }
  return tables;
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
  mode: (typeof modes)[number];
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

/** The sizes of the emoji models, as the benchmark names them. */
const benchmarked: Readonly<Record<string, string>> = {
  '2-128-4-2 on 32×32×3': '256 tokens',
  '2-64-8-1 on 64×64×3': '1,024 tokens',
};

/**
 * Guided sequential sampling by models of the sizes of the emoji models, as `npm run bench` measured
 * it on the first machine that did, in float32 on its processor.
 */
export async function readLoopTimes(): Promise<LoopTimes | undefined> {
  for (const { machine, comparison } of await readBenchmarks()) {
    const loops = comparison.flatMap(loopTimes);
    if (loops.length > 0) return { machine, loops };
  }
  return undefined;
}

function loopTimes(row: BenchmarkRow): LoopTime[] {
  const { name, configuration, batch, precision, device, ours, others, peers } = row;
  const tokens = benchmarked[configuration];
  const peer = peers['pytorch eager'];
  const isGuided = name === 'guided sampling' && precision === 'float32' && device === 'cpu';
  if (!isGuided || tokens === undefined || peer === undefined) return [];
  // `ours` is as `sample` runs it, with XLA's loop.
  const seconds = { xla: ours, graph: others?.graph, eager: others?.eager };
  return modes.flatMap((mode) => {
    const own = seconds[mode];
    return own === undefined ? [] : [{ tokens, batch, mode, seconds: own, peer }];
  });
}

/** Sampling at the size of a paper's model, with random weights, where it was measured. */
export function readPaperSize(): Promise<PaperSize | undefined> {
  return readRecord('paper size', path.join(resultsFolder(), 'acceleration', 'paper-size.json'));
}
export type PaperSize = RecordOf<'paper size'>;

/** The models of the claim 08-acceleration, by their tokens. */
const tokensOf: Readonly<Record<string, string>> = {
  'emoji-256-tokens': '256 tokens',
  'emoji-1024-tokens': '1,024 tokens',
};

/** The figures of the claim 08-acceleration that stand in acceleration tables of its two models. */
export function accelerationFigures(tables: readonly RecordedTable[]): Figures {
  const own = tables.filter(({ model }) => model in tokensOf);
  return figuresOf(own, figuresOfTable);
}

function figuresOfTable({ model, mode, table }: RecordedTable): Figures {
  const where = `${tokensOf[model]}, batch ${table.batch}, ${mode}`;
  const planned = strategyRow(table, 'planned');
  const iterating = table.plan.solvers.filter(({ kind }) => kind !== 'sequential');
  const figures: Figures = {
    [`planned, times as fast as sequential, ${where}`]: planned.speedup,
    [`planned, blocks that iterate, ${where}`]: iterating.length,
    [`planned, largest difference of the data range, ${where}`]: planIterates(table.plan)
      ? planned.error
      : undefined,
  };
  for (const strategy of ['SeJD, published rule', 'GS-Jacobi, published form']) {
    const row = strategyRow(table, strategy);
    figures[`${strategy}, times as fast as sequential, ${where}`] = row.speedup;
    // With too few images there are none.
    figures[`${strategy}, distance of pixel statistics in units of another seed’s, ${where}`] =
      statisticsInSeeds(table, row);
  }
  return figures;
}

/** The figures of the claim 08-acceleration that say what the sequential loops are worth. */
export function loopFigures(times: LoopTimes | undefined): Figures {
  return Object.fromEntries(
    (times?.loops ?? []).map(({ tokens, batch, mode, seconds, peer }) => [
      `sequential sampling in units of PyTorch’s time, guided, ${tokens}, batch ${batch}, ${mode}`,
      seconds / peer,
    ]),
  );
}

/** The figures of the claim 08-acceleration at the size of a paper's model, of random weights. */
export function paperSizeFigures(paperSize: PaperSize | undefined): Figures {
  return Object.fromEntries(
    (paperSize?.rows ?? [])
      .filter(({ strategy }) => strategy !== 'sequential')
      .map(({ strategy, speedup }) => [
        `${strategy}, times as fast as sequential, 2-768-8-8 of random weights, one image`,
        speedup,
      ]),
  );
}
