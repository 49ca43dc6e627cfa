import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { inverse } from '../../../src/sampling/inverse.js';
import { sampleNoise } from '../../../src/sampling/sample.js';
import { solveBlock } from '../../../src/sampling/solvers/solve-block.js';
import {
  type BlockTrajectory,
  samplingTrajectory,
} from '../../../src/sampling/study/trajectories.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import { studyBlocks } from '../../../workbook/acceleration/block-study.js';
import {
  continueSampling,
  disposeSubject,
  loadSubject,
  type Subject,
  trajectoryOf,
} from '../../../workbook/acceleration/solver-study.js';
import { difference } from '../../flow/small-flow.js';
import { sharedFolder } from '../../temporary-folder.js';
import { livelyFlow, smallConfig } from '../../training/small.js';
import { chooseResults } from '../results.js';

const folder = sharedFolder();
let subject: Subject;

beforeAll(async () => {
  chooseResults(folder);
  const checkpoints = path.join(folder, 'checkpoints');
  fs.mkdirSync(checkpoints, { recursive: true });
  const flows = { deep: { blocks: 3 }, lively: { classes: 3 } };
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
  expect([subject.first, ...subject.inOrder]).toEqual([1, 1, 0]);
  disposeSubject(subject);
  expect(tf.memory().numTensors).toBe(before);
});

test('a checkpoint that is not there is refused', async () => {
  await expect(loadSubject('absent', { batch: 1, seed: 0 })).rejects.toThrow(/absent/);
});

test('blocks are studied from both starts, over all samples, by CRM and by IGM', async () => {
  const pictures = path.join(folder, 'pictures');
  const { channels: _, ...size } = smallConfig.image;
  for (let i = 0; i < 40; i++) {
    const create = { ...size, channels: 3, background: { r: 6 * i, g: 100, b: 50 } } as const;
    fs.mkdirSync(pictures, { recursive: true });
    await sharp({ create }).toFile(path.join(pictures, `${i}.png`));
  }
  const flow = livelyFlow({ ...smallConfig, classes: 0 });
  const file = path.join(folder, 'of-someone.safetensors');
  await saveCheckpoint(flow, file, {});
  const before = tf.memory().numTensors;
  const how = { samples: 3, batch: 2, images: 4, seed: 1, tolerance: 1e-4 };
  const rows = await studyBlocks(file, { ...how, data: `folder:${pictures}` });
  expect(tf.memory().numTensors).toBe(before);
  expect(rows.map(({ block, first }) => [block, first])).toEqual([
    [0, false],
    [1, true],
  ]);
  const z = sampleNoise(flow, 1, 0, 2);
  const { blocks, dispose } = await samplingTrajectory(flow, z);
  for (const { block, latent, zeros, crm, igm } of rows) {
    const { block: solved, conditions, z: given } = blocks[block] as BlockTrajectory;
    const solver = { kind: 'jacobi', tolerance: 1e-4 } as const;
    const { tokens, trace } = await solveBlock(solved, given, solver, { conditions });
    tokens.dispose();
    expect(latent.most).toBeGreaterThanOrEqual(Math.max(...trace.sampleIterations));
    expect(latent.mean).toBeLessThanOrEqual(latent.most);
    expect([latent.notFinite, zeros.notFinite]).toEqual([0, 0]);
    expect(crm).toBeGreaterThan(0);
    expect(igm.says).toBe(igm.zeros < igm.latent ? 'zeros' : 'latent');
  }
  expect(rows.reduce((sum, { crm }) => sum + crm, 0)).toBeCloseTo(100);
  expect(rows.reduce((sum, { crmOfLatents }) => sum + crmOfLatents, 0)).toBeCloseTo(100);
  dispose();
  z.dispose();
  disposeModel(flow);
});
