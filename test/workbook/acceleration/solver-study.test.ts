import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import { tf } from '../../../src/core/tf.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { inverse } from '../../../src/sampling/inverse.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import {
  blockName,
  continueSampling,
  disposeSubject,
  loadSubject,
  type Subject,
  samplesBehind,
  timeStrategies,
  trajectoryOf,
} from '../../../workbook/acceleration/solver-study.js';
import { difference } from '../../flow/small-flow.js';
import { sharedFolder } from '../../temporary-folder.js';
import { livelyFlow, smallConfig } from '../../training/small.js';

const folder = sharedFolder();
vi.mock(import('../../../workbook/records/results-folder.js'), async (original) => ({
  ...(await original()),
  resultToRead: (name: string) => path.join(folder, 'results', name),
}));
let subject: Subject;

beforeAll(async () => {
  const checkpoints = path.join(folder, 'results', 'checkpoints');
  fs.mkdirSync(checkpoints, { recursive: true });
  const flows = { deep: { blocks: 3 }, lively: { classes: 3 }, unlabelled: { classes: 0 } };
  for (const [name, change] of Object.entries(flows)) {
    const flow = livelyFlow({ ...smallConfig, ...change });
    await saveCheckpoint(flow, path.join(checkpoints, `${name}.safetensors`), {});
    disposeModel(flow);
  }
  subject = await loadSubject('deep', { batch: 3, seed: 3 });
});
afterAll(() => {
  disposeSubject(subject);
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

test('a subject is a flow of results/ and its samples, block by block', async () => {
  const before = tf.memory().numTensors;
  const subject = await loadSubject('lively', { batch: 4, seed: 3 });
  expect(subject).toMatchObject({
    title: '4 tokens',
    checkpoint: 'lively',
    tokens: 4,
    batch: 4,
    label: [0, 1, 2, 0],
    inOrder: [1, 0],
    first: 1,
    execution: expect.stringMatching(/float32, \d+ threads?$/),
  });
  const images = await inverse(subject.flow, subject.noise, { label: subject.label });
  expect(difference(images, subject.exact)).toBeLessThan(1e-5);
  images.dispose();
  expect(trajectoryOf(subject, 1).z.shape).toEqual([4, 4, 4]);
  expect(() => trajectoryOf(subject, 2)).toThrow(RangeError);
  expect(subject.inOrder.map((block) => blockName(subject, block))).toEqual([
    'block 1 (first)',
    'block 0',
  ]);
  disposeSubject(subject);
  expect(tf.memory().numTensors).toBe(before);
});

test('a flow without classes is refused, as is one that is not there', async () => {
  await expect(loadSubject('unlabelled', { batch: 1, seed: 0 })).rejects.toThrow(UserError);
  await expect(loadSubject('absent', { batch: 1, seed: 0 })).rejects.toThrow(/absent/);
});

test('the samples behind a figure are those of the subject that its name has, or of all', () => {
  const subjects = [
    { title: '49 tokens', batch: 100, real: 256 },
    { title: '1,024 tokens', batch: 2, real: 16 },
  ];
  const figures = {
    'iterations, 49 tokens': 1,
    'time, 1024 tokens': 2,
    'error, 1,024 tokens, w = 2': 3,
    'blocks, 1,049 tokens': 4,
    'largest value': 5,
  };
  const all = '49 tokens: 100 samples; 1,024 tokens: 2 samples';
  expect(samplesBehind(subjects, figures)).toEqual({
    'iterations, 49 tokens': '100 samples',
    'time, 1024 tokens': '2 samples',
    'error, 1,024 tokens, w = 2': '2 samples',
    'blocks, 1,049 tokens': all,
    'largest value': all,
  });
  const describe = ({ real }: { real: number }) => `${real} images`;
  expect(samplesBehind(subjects, { 'CRM, 49 tokens': 1 }, describe)).toEqual({
    'CRM, 49 tokens': '256 images',
  });
});
