import { expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { sample } from '../../src/sampling/sample.js';
import { livelyFlow, smallConfig } from '../training/small.js';

const calls = 1000;

/** Every way to draw, and batches of several sizes. */
const ways = [
  {},
  { guidance: { weight: 1, annealed: true } },
  { mode: 'graph' },
  { solver: { kind: 'gaussSeidelJacobi', segments: 2, tolerance: 1e-3 } },
  { solver: { kind: 'jacobi', tolerance: 1e-3 }, mode: 'graph' },
] as const;

test.skipIf(!process.env.TARFLOW_NIGHTLY)(
  `tensors and memory stay flat over ${calls} calls of the sampler`,
  async () => {
    const flow = livelyFlow({ ...smallConfig, channels: 32, headWidth: 16 });
    const before = tf.memory().numTensors;
    let early = 0;
    for (let call = 0; call < calls; call++) {
      const count = 1 + (call % 7);
      const images = await sample(flow, {
        ...ways[call % ways.length],
        ...{ count, seed: call, label: Array.from({ length: count }, (_, i) => i % 3) },
      });
      images.dispose();
      expect(tf.memory().numTensors).toBe(before);
      if (call === calls / 4) early = process.memoryUsage.rss();
    }
    const grown = (process.memoryUsage.rss() - early) / 1e6;
    // All compiled calls are there after a quarter. What the heap keeps moves by some tens of megabytes.
    expect(grown).toBeLessThan(100);
    disposeModel(flow);
  },
);
