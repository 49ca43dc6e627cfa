import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { UserError } from '../../../src/core/errors.js';
import { tf } from '../../../src/core/tf.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { inverse } from '../../../src/sampling/inverse.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import {
  blockName,
  disposeSubject,
  loadSubject,
  samplesBehind,
  trajectoryOf,
} from '../../../workbook/acceleration/solver-study.js';
import { difference } from '../../flow/small-flow.js';
import { livelyFlow, smallConfig } from '../../training/small.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
vi.mock(import('../../../workbook/records/results-folder.js'), async (original) => ({
  ...(await original()),
  resultToRead: (name: string) => path.join(folder, 'results', name),
}));

beforeAll(async () => {
  await startEngine();
  const checkpoints = path.join(folder, 'results', 'checkpoints');
  fs.mkdirSync(checkpoints, { recursive: true });
  for (const [name, classes] of Object.entries({ lively: 3, unlabelled: 0 })) {
    const flow = livelyFlow({ ...smallConfig, classes });
    await saveCheckpoint(flow, path.join(checkpoints, `${name}.safetensors`), {});
    disposeModel(flow);
  }
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

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
