import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { bestPeer, peersOf } from '../../../workbook/records/benchmarks.js';
import { benchmarkSummary, benchmarkTables } from '../../../workbook/report/benchmark-tables.js';
import { sharedFolder } from '../../temporary-folder.js';

const folder = sharedFolder();
vi.mock(import('../../../workbook/records/results-folder.js'), async (original) => ({
  ...(await original()),
  resultsFolder: () => folder,
}));

const machine = { processor: 'a processor', threads: 2, ours: 'TensorFlow', peer: 'PyTorch 2' };
const row = {
  ...{ name: 'forward', configuration: '4-64-2-1 on 16×16×3', batch: 8, precision: 'float32' },
  ...{ unit: 's', mode: 'xla', ours: 2 },
};
const ofOnePeer = { ...row, peer: 4, ratio: 0.5, others: { graph: 5, 'torch.compile': 2.5 } };
const ofStarFlow = {
  ...{ ...row, configuration: 'STARFlow 4-64-1-1-4 on 16×16×3', ours: 3 },
  ...{ peers: { 'pytorch eager': 5 }, best: 'pytorch eager', ratio: 0.6 },
};
const ofSeveral = {
  ...{ ...row, name: 'training step', mode: 'default' },
  ...{ peers: { 'pytorch eager': 4, 'torch.compile': 3, jax: 1.6 }, best: 'jax', ratio: 1.25 },
};

beforeAll(() => {
  const write = (name: string, value: unknown) =>
    fs.writeFileSync(path.join(folder, name), JSON.stringify(value));
  write('benchmarks.json', [
    { machine, comparison: [ofOnePeer] },
    {
      machine: { ...machine, processor: 'another', jax: 'JAX 0' },
      comparison: [ofOnePeer, ofSeveral, ofStarFlow],
    },
    { machine: { ...machine, gpu: 'a GPU' }, comparison: [{ ...ofSeveral, ours: 1 }] },
  ]);
  write('precision.json', { differences: [0.1], seedDeviation: 0.2, command: 'c' });
});
test('rows of one peer have PyTorch eager and torch.compile, and the best of them counts', () => {
  expect(peersOf(ofOnePeer)).toEqual({ 'pytorch eager': 4, 'torch.compile': 2.5 });
  expect(bestPeer(ofOnePeer)).toEqual({ name: 'torch.compile', figure: 2.5, ratio: 0.8 });
  expect(bestPeer({ ours: 2, peer: 4 })).toEqual({ name: 'pytorch eager', figure: 4, ratio: 0.5 });
  expect(bestPeer({ ours: 2, peers: { 'pytorch eager': 4, jax: 1.6 } })).toEqual({
    ...{ name: 'jax', figure: 1.6, ratio: 1.25 },
  });
  expect(() => bestPeer({ ours: 2, peers: {} })).toThrow(RangeError);
});

test('the summary names the rows above 1, and where JAX was measured', async () => {
  const lines = (await benchmarkSummary()).split('\n');
  expect(lines).toContain('| training step | – · – | 1.25 (1.25) · – | 0.63 (0.63) · – |');
  expect(lines).toContain(
    '| STARFlow: likelihood (forward pass) | – · – | 0.60 (0.60) · – | – · – |',
  );
  expect(lines.filter((line) => line.startsWith('- '))).toEqual([
    '- a processor, 2 threads, not yet against JAX. No row is above 1.',
    '- another, 2 threads, JAX 0 in 1 of 3 rows. Above 1: training step, float32 (4-64-2-1 1.25 JAX).',
    '- a GPU, a processor, 2 threads. No row is above 1.',
  ]);
});

test('each ratio of the tables stands with its peer', async () => {
  const tables = await benchmarkTables();
  expect(tables).toContain('| forward, float32 | 0.80 compile (XLA, graph 2.00) |');
  expect(tables).toContain('| training step, float32 | 1.25 JAX |');
  expect(tables).toContain('TensorFlow against PyTorch 2, JAX 0 in 1 of 3 rows; a row is');
});
