import * as path from 'node:path';
import { expect, test } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { resultsFolder } from '../../workbook/records/results-folder.js';
import {
  allCases,
  baselineConfigurations,
  caseName,
  configurations,
  type FlowConfig,
  starflows,
  workloads,
} from './cases.js';
import { figuresOf, type ResultRow, slowerRows, tableLine } from './report.js';
import { type Machine, machineName, withRows } from './results-file.js';
import { peersFor } from './sides.js';

const machine: Machine = {
  processor: 'AMD EPYC',
  cores: 2,
  threads: 2,
  ours: 'TensorFlow 2.21.0, Node v20.20.2',
  peer: 'PyTorch 2.13.0+cpu',
};
const withGpu: Machine = { ...machine, gpu: 'NVIDIA H100', tf32: true };

function row(name: string, ours: number, changed: Partial<ResultRow> = {}): ResultRow {
  return {
    name,
    configuration: '4-64-2-1 on 16×16×3',
    batch: 8,
    precision: 'float32',
    mode: 'default',
    device: 'cpu',
    date: '2026-11-26',
    unit: 's',
    ...figuresOf({ ours: [ours], peers: { 'pytorch eager': [1] } }),
    ...changed,
  };
}

const comparison = { section: 'comparison', complete: false } as const;
const old = [
  { machine, comparison: [row('forward', 1), row('sampling', 2)], scaling: [row('step', 3)] },
];

test('a row takes the place of the one that measured the same', () => {
  const rows = [row('sampling', 4), row('denoising step', 5)];
  expect(withRows(old, { ...comparison, machine, rows })).toEqual([
    { ...old[0], comparison: [row('forward', 1), ...rows] },
  ]);
});

test('rows of another mode or place in a series stay beside it', () => {
  const rows = [
    row('forward', 4, { mode: 'xla' }),
    row('forward', 5, { growth: { series: 'tokens', size: 64 } }),
  ];
  const [entry] = withRows(old, { ...comparison, machine, rows });
  expect(entry?.comparison).toEqual([...(old[0]?.comparison ?? []), ...rows]);
});

test('another machine adds its rows and takes none away', () => {
  const rows = [row('forward', 6, { device: 'cuda' })];
  const results = withRows(old, { ...comparison, machine: withGpu, rows, complete: true });
  expect(results).toEqual([...old, { machine: withGpu, comparison: rows }]);
});

test('a machine is the same whatever the order of its fields', () => {
  const reversed = Object.fromEntries(Object.entries(machine).reverse()) as never as Machine;
  expect(withRows(old, { ...comparison, machine: reversed, rows: [] })).toEqual(old);
});

test('a complete run drops what it no longer measures, in its own section alone', () => {
  const rows = [row('forward', 7)];
  expect(withRows(old, { ...comparison, machine, rows, complete: true })).toEqual([
    { ...old[0], comparison: rows },
  ]);
});

test('rows of several peers go on with those that a machine has of one', () => {
  const withJax = { ...machine, jax: 'JAX 0.10.2' };
  const rows = [row('sampling', 4, { peers: { 'pytorch eager': 3, jax: 2 }, best: 'jax' })];
  const results = withRows(old, { ...comparison, machine: withJax, rows });
  expect(results).toEqual([
    { ...old[0], machine: withJax, comparison: [row('forward', 1), ...rows] },
  ]);
  expect(withRows(results, { ...comparison, machine: withJax, rows })).toEqual(results);
});

test('figures are medians with quartiles, and the ratio is to the best peer, by pairs', () => {
  const peers = { 'pytorch eager': [9, 9, 9, 9], jax: [2, 2, 2, 10] };
  expect(figuresOf({ ours: [1, 2, 3, 10], peers, others: { graph: [5, 7] } })).toEqual({
    ours: 2.5,
    peers: { 'pytorch eager': 9, jax: 2 },
    best: 'jax',
    ratio: 1.25,
    spread: { ours: [1.75, 4.75], peer: [2, 4], ratio: [0.875, 1.125] },
    repetitions: 4,
    others: { graph: 6 },
  });
});

test('a line of the table has the best peer, and the rest behind', () => {
  const figures = figuresOf({
    ours: [0.02],
    peers: { 'pytorch eager': [0.03], jax: [0.016] },
    others: { graph: [0.05] },
  });
  const one = row('forward', 1, figures);
  expect(tableLine(one).split(/ {2,}/)).toEqual([
    ...['forward', '4-64-2-1 on 16×16×3', '8', 'float32', 'default'],
    ...['20.0 ms', '16.0 ms', 'JAX', '1.250', '1.25 to 1.25'],
    'pytorch eager 30.0 ms, graph 50.0 ms',
  ]);
  expect(slowerRows([one, row('sampling', 1)])).toEqual([
    'forward, 4-64-2-1 on 16×16×3, batch 8, float32: 1.250 (JAX)',
  ]);
});

test('a machine with a GPU is named by it', () => {
  expect(machineName(machine)).toBe('AMD EPYC, 2 threads');
  expect(machineName(withGpu)).toBe('NVIDIA H100, TF32 allowed, AMD EPYC, 2 threads');
});

test('every workload has rows in both precisions, each row once', () => {
  const names = allCases().map(caseName);
  expect(new Set(names).size).toBe(names.length);
  for (const workload of workloads) {
    const precisions = allCases()
      .filter((one) => one.workload === workload)
      .map((one) => one.precision);
    expect(new Set(precisions)).toEqual(new Set(['float32', 'bfloat16']));
  }
});

test('peers run what they can: torch.compile whole passes, JAX TarFlows where it takes part', () => {
  const [tarflowConfig] = configurations.map(({ config }) => config) as [FlowConfig];
  const [starflowConfig] = starflows.map(({ config }) => config) as [FlowConfig];
  const names = (workload: (typeof workloads)[number], jax: boolean, compile: boolean) =>
    peersFor({ workload, config: tarflowConfig }, { gpu: false, jax, compile });
  const all = ['pytorch eager', 'torch.compile', 'jax'];
  expect(names('training step', true, true)).toEqual(all);
  expect(names('denoising step', false, true)).toEqual(all.slice(0, 2));
  expect(names('forward', true, false)).toEqual(['pytorch eager', 'jax']);
  expect(names('guided sampling', true, true)).toEqual(['pytorch eager', 'jax']);
  const sampling = { workload: 'sampling', config: starflowConfig } as const;
  expect(peersFor(sampling, { gpu: false, jax: true, compile: true })).toEqual(['pytorch eager']);
});

test('baselines are the committed models, and are rows of their own', async () => {
  for (const [name, config] of Object.entries(baselineConfigurations)) {
    const file = path.join(resultsFolder(), 'checkpoints', `${name}.safetensors`);
    const { metadata } = await readSafetensors(file);
    // The first files do not say their kind.
    expect({ kind: 'tarflow', ...JSON.parse(metadata.config as string) }).toEqual(config);
    const rows = allCases().filter((one) => one.config === config);
    expect(rows.map(({ workload, batch, precision }) => [workload, batch, precision])).toEqual([
      ['guided sampling', 1, 'float32'],
      ['guided sampling', 8, 'float32'],
    ]);
    expect(rows.every((one) => one.baseline)).toBe(true);
  }
});
