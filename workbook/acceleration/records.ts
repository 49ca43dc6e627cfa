import { execFile } from 'node:child_process';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { disposeModel } from '../../src/flow/state-dict.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { modelFingerprint, type Plan } from '../../src/sampling/planner/plan-file.js';
import type { Acceleration } from '../records/record.js';
import { type RecordOf, readRecord } from '../records/record.js';
import { resultFile, resultsFolder, resultToRead } from '../records/results-folder.js';
import { committedCheckpoint } from '../records/training-run.js';

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

/** Sampling at the size of a paper's model, with random weights, where it was measured. */
export function readPaperSize(): Promise<PaperSize | undefined> {
  return readRecord('paper size', path.join(resultsFolder(), 'acceleration', 'paper-size.json'));
}
export type PaperSize = RecordOf<'paper size'>;
