import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { loadCheckpoint } from '../../../src/models/load-checkpoint.js';
import { sample } from '../../../src/sampling/sample.js';
import type { BlockTrace } from '../../../src/sampling/solvers/solve-block.js';

const root = path.resolve(import.meta.dirname, '..', '..', '..');
const bundle = path.join(root, 'dist', 'web');
const checkpoint = path.join(root, 'results/checkpoints/fashion-mnist-conditional-8x2.safetensors');
const modules = readdirSync(bundle).filter((file) => file.endsWith('.js'));
const sources = modules.map((file) => readFileSync(path.join(bundle, file), 'utf8'));

describe('the bundle for browsers', () => {
  test('imports its own files alone', () => {
    const specifiers = sources.flatMap((text) =>
      [...text.matchAll(/(?:\bfrom|\bimport\(?)\s*"([^"]+)"/g)].map(([, name]) => name),
    );
    expect(specifiers.length).toBeGreaterThan(0);
    for (const name of specifiers) expect(modules).toContain(name?.replace('./', ''));
  });

  test('is below 1.1 MB with WebGPU, and below 0.3 MB compressed', () => {
    expect(sources.reduce((sum, text) => sum + text.length, 0)).toBeLessThan(1.1e6);
    const packed = sources.reduce((sum, text) => sum + gzipSync(text).length, 0);
    expect(packed).toBeLessThan(3e5);
  });
});

test('imported in Node.js, it says where it belongs', async () => {
  await expect(import(path.join(bundle, 'index.js'))).rejects.toThrow(
    "tarflow/web is for browsers. In Node.js, import what you need from 'tarflow'.",
  );
});

interface Drawn {
  pixels: number[];
  steps: { block: number; solved: number; steps: number }[];
}

describe('without Node.js it gives the numbers of the library', () => {
  const common = { label: 3, guidance: { weight: 1.5 }, seed: 7 };
  const jacobi = { kind: 'jacobi', tolerance: 1e-3 } as const;

  test('token by token, and by Jacobi with as many sweeps', async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        path.join(import.meta.dirname, 'as-in-a-browser.mjs'),
        ...[bundle, checkpoint, JSON.stringify([common, { ...common, solver: jacobi }])],
      ],
      { maxBuffer: 2 ** 24 },
    );
    const [sequential, iterated] = JSON.parse(stdout) as [Drawn, Drawn];

    await startEngine();
    const flow = await loadCheckpoint(checkpoint);
    const traces: BlockTrace[] = [];
    const images = await sample(flow, { ...common, count: 1 });
    const again = await sample(flow, {
      ...{ ...common, count: 1, solver: jacobi },
      onTrace: (trace) => traces.push(trace),
    });
    expect(largest(images.dataSync(), sequential.pixels)).toBeLessThan(1e-4);
    expect(largest(again.dataSync(), iterated.pixels)).toBeLessThan(1e-3);
    expect(sequential.steps).toHaveLength(8 * 48);
    const sweeps = traces.map(({ block, iterations }) => [block, iterations.length]);
    const shown = traces.map(({ block }) => [
      block,
      iterated.steps.filter((step) => step.block === block).length,
    ]);
    expect(shown).toEqual(sweeps);
    expect(iterated.steps.at(-1)?.solved).toBe(49);
    images.dispose();
    again.dispose();
    disposeModel(flow);
  });
});

function largest(a: ArrayLike<number>, b: readonly number[]): number {
  return b.reduce((most, value, i) => Math.max(most, Math.abs(value - (a[i] ?? Number.NaN))), 0);
}
