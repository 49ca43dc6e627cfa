import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import type { GpuReport } from '../../workbook/records/record.js';
import { gpuTables } from '../../workbook/report/gpu-report.js';
import { temporaryFolder } from '../temporary-folder.js';
import { fallingBatch } from './falling-batch.js';
import { publishedModels } from './published-models.js';

/** `npm run gpu-report`, without npm. */
function report(words: string[], env: NodeJS.ProcessEnv = {}) {
  const script = path.join('test', 'benchmarks', 'gpu-report.ts');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', script, ...words],
    { env: { ...process.env, ...env }, encoding: 'utf8' },
  );
  return { status, stdout, stderr };
}

function written(folder: string): GpuReport {
  const [name = ''] = fs.readdirSync(folder);
  return JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));
}

/** A folder for the PATH, with a program that says what nvidia-smi says of a device. */
function withDevice(): string {
  const folder = temporaryFolder();
  const text = '#!/bin/sh\necho "NVIDIA Test, 555.1, 81559"\n';
  fs.writeFileSync(path.join(folder, 'nvidia-smi'), text, { mode: 0o755 });
  return `${folder}${path.delimiter}${process.env.PATH}`;
}

// By night all parts.
const short = process.env.TARFLOW_NIGHTLY
  ? ['--tiny']
  : ['--tiny', '--only', 'engine,paper-size-float32,paper-strategies-afhq,training-float32'];

test('runs its whole path on the processor, and then nothing twice', async () => {
  const folder = temporaryFolder();
  const first = report(short, { TARFLOW_RESULTS: folder });
  expect(first.status, first.stdout + first.stderr).toBe(0);
  const { parts, tiny } = written(folder);
  expect(tiny).toBe(true);
  const others = parts.filter(({ name }) => !name.startsWith('benchmark'));
  expect(new Set(others.map(({ outcome }) => outcome))).toEqual(new Set(['done']));
  const figures = new Map(
    parts.flatMap((part) => part.figures.map((one) => [`${part.name}: ${one.name}`, one.value])),
  );
  expect(figures.get('engine: tensors that conform')).toBeGreaterThan(10);
  expect(figures.get('training-float32: loss at the end')).toBeLessThan(
    figures.get('training-float32: loss at first') ?? 0,
  );
  const tables = await gpuTables(folder);
  expect(tables).toMatch(/4-64-8-8, 4 tokens, batch 1: n\*/);
  // Iterations as published, whatever the weights make of them.
  expect(tables).toMatch(/AFHQ.*SeJD.*evaluations by block: 15 7 6 6 5 6 5 4 /);
  expect(tables).toMatch(/AFHQ.*GS-Jacobi.*evaluations by block: 256 10 10 10 10 10 10 10 /);
  expect(tables).toMatch(/AFHQ.*batch 2, the papers’ is 256; guidance 3\.4; the whole flow of 8/);
  report(short, { TARFLOW_RESULTS: folder });
  expect(written(folder).parts).toEqual(parts);
});

test('a batch falls where memory or time does not suffice, and that is said', async () => {
  const tried: number[] = [];
  const found = await fallingBatch(
    256,
    () => 0.05,
    async (batch, signal) => {
      tried.push(batch);
      if (batch > 128) throw new Error('OOM when allocating tensor with shape[512,16,1024,1024]');
      if (batch > 16) await new Promise((_, reject) => signal.addEventListener('abort', reject));
      return 'measured';
    },
  );
  expect(tried).toEqual([256, 128, 16]);
  const notes = ['batch 256: memory does not suffice', 'batch 128: not measured in 0.05 s'];
  expect(found).toEqual({ batch: 16, found: 'measured', notes });
  const none = fallingBatch(
    2,
    () => 1,
    async () => {
      throw new Error('RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.');
    },
  );
  await expect(none).rejects.toThrow(/No batch could be measured: batch 2: .*; batch 1: /);
  const other = fallingBatch(
    2,
    () => 1,
    async () => Promise.reject(new Error('it broke')),
  );
  await expect(other).rejects.toThrow('it broke');
});

test('strategies of the papers fit the sizes that they were published for', () => {
  const models = publishedModels();
  expect(models.map(({ name }) => name)).toEqual([
    ...['img128cond', 'afhq', 'img64uncond', 'img64cond', 'cifar-10', 'cifar-100'],
  ]);
  expect(models.map(({ strategies }) => strategies.map(({ published }) => published))).toEqual([
    ...[
      [undefined, 4.53],
      [4.5, 5.32],
      [undefined, 2.96],
      [undefined, 2.51],
    ],
    ...[[3.6], [4.7]],
  ]);
});

test('without a device, or an engine that uses it, says so and measures nothing', () => {
  const none = report([], { PATH: path.dirname(process.execPath) });
  expect(none.status).toBe(2);
  expect(none.stderr).toMatch(/nvidia-smi finds no CUDA device.*--tiny/);
  const unknown = report(['--tiny', '--only', 'speed']);
  expect(unknown.stderr).toMatch(/--only is speed\. Expected some of engine/);
  const folder = temporaryFolder();
  const hidden = { PATH: withDevice(), TARFLOW_RESULTS: folder, CUDA_VISIBLE_DEVICES: '' };
  expect(report([], hidden).status).toBe(1);
  const { device, driver, parts } = written(folder);
  expect({ device, driver }).toEqual({ device: 'NVIDIA Test', driver: '555.1' });
  expect(parts).toHaveLength(1);
  expect(parts[0]).toMatchObject({
    outcome: 'failed',
    note: expect.stringMatching(/on the proce/),
  });
});
