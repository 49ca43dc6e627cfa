import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import { tf } from '../../src/backend/tf.js';
import { disposeFlow } from '../../src/flow/tarflow.js';
import { train } from '../../src/training/train.js';
import { madeUpImages, smallConfig, smallSettings } from './small.js';

beforeAll(async () => {
  await startEngine();
});

test('memory stays flat over 1,000 training steps', { timeout: 600_000 }, async () => {
  const before = tf.memory().numTensors;
  const seen = new Map<number, { tensors: number; bytes: number; resident: number }>();
  const { flow } = await train({
    config: smallConfig,
    settings: { ...smallSettings, steps: 1000, validateEvery: 1000 },
    data: madeUpImages('train', 32),
    validation: madeUpImages('test', 20),
    onStep: ({ step }) => {
      const { numTensors: tensors, numBytes: bytes } = tf.memory();
      seen.set(step, { tensors, bytes, resident: process.memoryUsage.rss() });
    },
  });
  disposeFlow(flow);
  expect(tf.memory().numTensors).toBe(before);
  expect(seen.size).toBe(1000);

  const [early, late] = [seen.get(200)!, seen.get(1000)!];
  expect(late.tensors).toBe(early.tensors);
  expect(late.bytes).toBe(early.bytes);
  // What the JavaScript heap and the allocators keep moves by some megabytes; a step that kept its
  // activations, or a call its graph, would add far more.
  expect(late.resident - early.resident).toBeLessThan(64e6);
});
