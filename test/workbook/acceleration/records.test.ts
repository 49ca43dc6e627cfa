import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { modelFingerprint } from '../../../src/sampling/planner/plan-file.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import { strategyRow } from '../../../workbook/acceleration/measure.js';
import {
  accelerationRuns,
  outdatedTables,
  planIterates,
  readAccelerations,
  readPaperSize,
  wideRuns,
} from '../../../workbook/acceleration/records.js';
import type { Acceleration } from '../../../workbook/records/record.js';
import { somePlan } from '../../sampling/some-plan.js';
import { sharedFolder } from '../../temporary-folder.js';
import { livelyFlow, smallConfig } from '../../training/small.js';

const folder = sharedFolder();
vi.mock(import('../../../workbook/records/results-folder.js'), async (original) => ({
  ...(await original()),
  resultsFolder: () => folder,
  resultToRead: (name: string) => path.join(folder, name),
}));

beforeEach(() => fs.rmSync(folder, { recursive: true, force: true }));
function write(name: string, value: unknown): void {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify(value));
}

/** A record of some tables. */
const record = (tables: Acceleration[]) => ({
  checkpoint: 'a.safetensors',
  configuration: {},
  data: null,
  seed: 0,
  tables,
  cost: { seconds: 1, cores: 2 },
  versions: { engine: 'an engine', node: 'v20' },
  command: 'tarflow accelerate',
  date: '2026-01-01T00:00:00.000Z',
});

/** A table of `batch` images, thrice, whose plan iterates in `iterating` of two blocks. */
function made(model: string, batch: number, iterating: number): Acceleration {
  const strategies = ['sequential', 'SeJD, published rule', 'GS-Jacobi, published form', 'planned'];
  const solvers = [0, 1].map((i) => {
    return i < iterating
      ? ({ kind: 'jacobi', tolerance: 1 } as const)
      : ({ kind: 'sequential' } as const);
  });
  return {
    model,
    tokens: 4,
    blocks: 2,
    batch,
    guidance: null,
    label: null,
    tolerance: 1e-3,
    repeats: 3,
    seed: 0,
    execution: 'an engine',
    crmFrom: 'samples',
    seedNoise: { mean: 0.1, deviation: 0.2 },
    plan: { ...somePlan, model, solvers },
    rows: strategies.map((strategy, i) => ({
      strategy,
      solvers,
      milliseconds: 1,
      times: [1],
      speedup: i,
      iterations: [0, 0],
      fallbacks: [0, 0],
      unconverged: [0, 0],
      error: i / 10,
      statistics: { mean: 0.05, deviation: 0.4 },
    })),
  };
}

test('tables are read run by run; a run that was not measured has none', async () => {
  expect(await readAccelerations()).toEqual([]);
  write('acceleration/emoji-256-tokens-graph.json', record([made('m', 1, 0), made('m', 8, 2)]));
  const tables = await readAccelerations();
  expect(tables.map(({ model, mode, table }) => [model, mode, table.batch])).toEqual([
    ['emoji-256-tokens', 'graph', 1],
    ['emoji-256-tokens', 'graph', 8],
  ]);
  expect(tables.map(({ table }) => planIterates(table.plan))).toEqual([false, true]);
  expect(strategyRow(made('m', 1, 0), 'planned').speedup).toBe(3);
  expect(() => strategyRow(made('m', 1, 0), 'none')).toThrow(/no row 'none'. Expected one of/);
  expect(accelerationRuns).toHaveLength(6);
  expect(await readAccelerations(wideRuns)).toEqual([]);
});

test('tables of another checkpoint than the one at hand are outdated', async () => {
  const flow = livelyFlow(smallConfig);
  fs.mkdirSync(path.join(folder, 'checkpoints'), { recursive: true });
  const file = path.join(folder, 'checkpoints', 'emoji-256-tokens.safetensors');
  await saveCheckpoint(flow, file, {});
  const own = made(modelFingerprint(flow), 1, 0);
  write('acceleration/emoji-256-tokens-xla.json', record([own, made('another', 8, 0)]));
  const outdated = await outdatedTables(await readAccelerations());
  expect(outdated.map(({ table }) => table.batch)).toEqual([8]);
});

test('the sampling of a model of a paper’s size is read where it was measured', async () => {
  expect(await readPaperSize()).toBeUndefined();
  const row = {
    solver: '',
    seconds: 1,
    blockSeconds: [],
    iterations: [],
    error: 0,
    peakGigabytes: 1,
  };
  const { data: _, checkpoint: __, tables: ___, ...rest } = record([]);
  write('acceleration/paper-size.json', {
    ...rest,
    model: '2-768-8-8',
    tolerance: 1e-3,
    execution: 'an engine',
    parameters: 1,
    cost: { seconds: 1, threads: 2 },
    rows: [
      { ...row, strategy: 'sequential', speedup: 1 },
      { ...row, strategy: 'Jacobi', speedup: 2 },
    ],
  });
  expect((await readPaperSize())?.rows.map(({ speedup }) => speedup)).toEqual([1, 2]);
});
