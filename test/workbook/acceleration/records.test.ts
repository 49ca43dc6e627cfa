import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { modelFingerprint } from '../../../src/sampling/planner/plan-file.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import { strategyRow } from '../../../workbook/acceleration/measure.js';
import {
  accelerationFigures,
  accelerationRuns,
  loopFigures,
  outdatedTables,
  paperSizeFigures,
  planIterates,
  readAccelerations,
  readLoopTimes,
  readPaperSize,
  wideRuns,
} from '../../../workbook/acceleration/records.js';
import type { Acceleration } from '../../../workbook/records/record.js';
import { somePlan } from '../../sampling/some-plan.js';
import { livelyFlow, smallConfig } from '../../training/small.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
vi.mock(import('../../../workbook/records/results-folder.js'), async (original) => ({
  ...(await original()),
  resultsFolder: () => folder,
  resultToRead: (name: string) => path.join(folder, name),
}));

beforeAll(async () => {
  await startEngine();
});
beforeEach(() => fs.rmSync(folder, { recursive: true, force: true }));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

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
  disposeModel(flow);
  write('acceleration/emoji-256-tokens-xla.json', record([own, made('another', 8, 0)]));
  const outdated = await outdatedTables(await readAccelerations());
  expect(outdated.map(({ table }) => table.batch)).toEqual([8]);
});

test('figures of a table are named by where it was measured', () => {
  const record = {} as never;
  const model = 'emoji-1024-tokens';
  const figures = accelerationFigures([
    { model, mode: 'xla', table: made('m', 1, 0), record },
    { model, mode: 'graph', table: made('m', 8, 1), record },
    { model: 'of another size', mode: 'xla', table: made('m', 32, 0), record },
  ]);
  expect(Object.keys(figures).filter((name) => name.includes('batch 32'))).toEqual([]);
  const [first, second] = ['1,024 tokens, batch 1, xla', '1,024 tokens, batch 8, graph'];
  expect(figures[`planned, times as fast as sequential, ${first}`]).toBe(3);
  expect(figures[`planned, blocks that iterate, ${second}`]).toBe(1);
  // A plan that does not iterate has no error, and three images have no statistics.
  expect(figures[`planned, largest difference of the data range, ${first}`]).toBeUndefined();
  expect(figures[`planned, largest difference of the data range, ${second}`]).toBe(0.3);
  const statistics =
    'SeJD, published rule, distance of pixel statistics in units of another seed’s';
  expect(figures[`${statistics}, ${first}`]).toBeUndefined();
  expect(figures[`${statistics}, ${second}`]).toBe(2);
});

test('times of loops are those of the first machine that measured them', async () => {
  await expect(readLoopTimes()).rejects.toThrow(/no .*benchmarks\.json/);
  const row = {
    unit: 's',
    mode: 'xla',
    name: 'guided sampling',
    configuration: '2-128-4-2 on 32×32×3',
    batch: 8,
    precision: 'float32',
    device: 'cpu',
    ours: 1,
    peer: 4,
    others: { graph: 6 },
  };
  const machine = { processor: 'a processor', threads: 2, ours: 'TensorFlow', peer: 'a peer' };
  write('benchmarks.json', [
    {
      machine: { ...machine, processor: 'another' },
      comparison: [{ ...row, precision: 'bfloat16' }],
    },
    {
      machine,
      comparison: [row, { ...row, name: 'training step' }, { ...row, configuration: 'x' }],
    },
  ]);
  const times = await readLoopTimes();
  expect(times?.machine).toEqual(machine);
  expect(times?.loops).toEqual([
    { tokens: '256 tokens', batch: 8, mode: 'xla', seconds: 1, peer: 4 },
    { tokens: '256 tokens', batch: 8, mode: 'graph', seconds: 6, peer: 4 },
  ]);
  const name = 'sequential sampling in units of PyTorch’s time, guided, 256 tokens, batch 8';
  expect(loopFigures(times)).toEqual({ [`${name}, xla`]: 0.25, [`${name}, graph`]: 1.5 });
  expect(loopFigures(undefined)).toEqual({});
});

test('the size of a paper has speed-ups of what iterates', async () => {
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
  expect(paperSizeFigures(await readPaperSize())).toEqual({
    'Jacobi, times as fast as sequential, 2-768-8-8 of random weights, one image': 2,
  });
});
