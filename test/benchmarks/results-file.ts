import * as fs from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { writeAtomically } from '../../src/core/files.js';
import { resultFile } from '../../workbook/records/results-folder.js';
import type { ResultRow, StoredRow } from './report.js';

/** What rows were measured on. Rows of different machines are not compared. */
export interface Machine {
  processor: string;
  cores: number;
  threads: number;
  /** The CUDA device that both sides compute on, where there is one. */
  gpu?: string;
  /** Whether its float32 matrix products may be rounded to TF32; NVIDIA_TF32_OVERRIDE=0 forbids it. */
  tf32?: boolean;
  /** Versions, the peer's of PyTorch. */
  ours: string;
  peer: string;
  /** Absent where no row has JAX. */
  jax?: string;
}

/** What a run measures: the rows that compare the sides, or the series that grow. */
export type Section = 'comparison' | 'scaling';

/** One entry of results/benchmarks.json: what was measured on a machine, by any number of runs. */
export interface MachineResults extends Partial<Record<Section, StoredRow[]>> {
  machine: Machine;
}

/** What a run has measured so far. */
export interface Measured {
  machine: Machine;
  section: Section;
  rows: ResultRow[];
  /** True where these are all rows of the section, so that others of this machine are out of date. */
  complete: boolean;
}

/**
 * Writes rows into benchmarks.json, in the folder of `resultFile`.
 *
 * @returns all rows of the machine in that section
 */
export async function saveRows(measured: Measured): Promise<StoredRow[]> {
  const file = resultFile('benchmarks.json');
  const before = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : [];
  const results = withRows(before, measured);
  await writeAtomically(file, `${JSON.stringify(results, null, 1)}\n`);
  return ofMachine(results, measured.machine)?.[measured.section] ?? [];
}

/** The results with a run's rows among those of its machine; all other machines keep theirs. */
export function withRows(
  results: readonly MachineResults[],
  { machine, section, rows, complete }: Measured,
): MachineResults[] {
  const before = ofMachine(results, machine);
  const after = {
    ...before,
    machine,
    [section]: complete ? rows : merged(rows, before?.[section] ?? []),
  };
  return before ? results.map((entry) => (entry === before ? after : entry)) : [...results, after];
}

/** A machine's entry; one from before JAX was measured there is the same machine's. */
function ofMachine(
  results: readonly MachineResults[],
  machine: Machine,
): MachineResults | undefined {
  const { jax: _, ...before } = machine;
  return [machine, before]
    .map((sought) => results.find((entry) => isDeepStrictEqual(entry.machine, sought)))
    .find((entry) => entry !== undefined);
}

/** New rows in the places of old ones that measure the same, and behind them. */
function merged(rows: readonly StoredRow[], old: readonly StoredRow[]): StoredRow[] {
  const key = ({ name, configuration, batch, precision, mode, device, unit, growth }: StoredRow) =>
    JSON.stringify([name, configuration, batch, precision, mode, device, unit, growth]);
  const left = new Map(rows.map((row) => [key(row), row]));
  const kept = old.map((row) => {
    const replacement = left.get(key(row));
    left.delete(key(row));
    return replacement ?? row;
  });
  return [...kept, ...left.values()];
}

/** A machine in a few words. */
export function machineName({ processor, threads, gpu, tf32 }: Machine): string {
  const device = gpu === undefined ? [] : [gpu, ...(tf32 ? ['TF32 allowed'] : [])];
  return [...device, processor, `${threads} ${threads === 1 ? 'thread' : 'threads'}`].join(', ');
}
