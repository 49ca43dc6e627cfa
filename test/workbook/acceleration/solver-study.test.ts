import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { tf } from '../../../src/core/tf.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import {
  continueSampling,
  disposeSubject,
  loadSubject,
  type Subject,
  sampleOtherSeed,
  timeStrategies,
  trajectoryOf,
} from '../../../workbook/acceleration/solver-study.js';
import { difference } from '../../flow/small-flow.js';
import { livelyFlow, smallConfig } from '../../training/small.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
vi.mock(import('../../../workbook/records/results-folder.js'), async (original) => ({
  ...(await original()),
  resultToRead: (name: string) => path.join(folder, 'results', name),
}));
let subject: Subject;

beforeAll(async () => {
  await startEngine();
  const checkpoints = path.join(folder, 'results', 'checkpoints');
  fs.mkdirSync(checkpoints, { recursive: true });
  const flow = livelyFlow({ ...smallConfig, blocks: 3 });
  await saveCheckpoint(flow, path.join(checkpoints, 'lively.safetensors'), {});
  disposeModel(flow);
  subject = await loadSubject('lively', { batch: 3, seed: 3 });
});
afterAll(() => {
  disposeSubject(subject);
  fs.rmSync(folder, { recursive: true });
});

test('sampling goes on from any block to the same images', async () => {
  const before = tf.memory().numTensors;
  for (const [from, solver] of [
    [2, { kind: 'sequential' }],
    [1, { kind: 'jacobi', tolerance: 0 }],
    [0, { kind: 'sequential' }],
  ] as const) {
    const { z } = trajectoryOf(subject, from);
    const { images, traces } = await continueSampling(subject, from, z, solver);
    expect(traces).toHaveLength(from + 1);
    expect(difference(images, subject.exact)).toBeLessThan(1e-4);
    images.dispose();
  }
  // With no block left, only the order of the pixels is.
  const { images, traces } = await continueSampling(subject, -1, trajectoryOf(subject, 0).x, {
    kind: 'sequential',
  });
  expect(traces).toEqual([]);
  expect(difference(images, subject.exact)).toBeLessThan(1e-6);
  images.dispose();
  expect(tf.memory().numTensors).toBe(before);
});

test('strategies are timed on the same noise, and compared with the exact images', async () => {
  const onRound = vi.fn();
  const blocks = <T>(solver: T): T[] => new Array<T>(3).fill(solver);
  const outcomes = await timeStrategies(
    subject,
    {
      sequential: blocks({ kind: 'sequential' } as const),
      rough: blocks({ kind: 'jacobi', tolerance: 1 } as const),
    },
    2,
    onRound,
  );
  expect(onRound).toHaveBeenCalledTimes(3);
  const [sequential, rough] = outcomes;
  expect(outcomes.map(({ strategy }) => strategy)).toEqual(['sequential', 'rough']);
  expect(sequential?.iterations).toEqual([null, null, null]);
  expect(sequential?.largest).toBeLessThan(1e-5);
  expect(Math.min(...(rough?.iterations ?? []).map(Number))).toBeGreaterThan(0);
  expect(rough?.largest).toBeGreaterThan(1e-4);
  for (const { total, milliseconds } of outcomes) {
    expect(total).toBeGreaterThan(0);
    expect(total).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(milliseconds.reduce((sum, time) => sum + time, 0)).toBeLessThanOrEqual(total);
  }
  tf.dispose(outcomes.map(({ images }) => images));
});

test('another seed makes other images', async () => {
  const before = tf.memory().numTensors;
  const [same, other] = [await sampleOtherSeed(subject, 3), await sampleOtherSeed(subject, 4)];
  expect(difference(same, subject.exact)).toBeLessThan(1e-5);
  expect(difference(other, subject.exact)).toBeGreaterThan(1e-2);
  tf.dispose([same, other]);
  expect(tf.memory().numTensors).toBe(before);
});
