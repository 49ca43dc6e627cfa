import { advance, withSlice } from '@tarflow/graph';
import { expect, test } from 'vitest';
import { type EngineName, startEngine } from '../../src/core/engine.js';
import { tf } from '../../src/core/tf.js';
import { disposeModel } from '../../src/flow/flow.js';
import { inverse } from '../../src/sampling/inverse.js';
import { difference, randomLatents, smallFlow } from '../flow/small-flow.js';

test.each<EngineName>(['wasm', 'cpu', 'tensorflow'])(
  'op by op, on the engine %s, a window gives what sequential solving gives, in bounded memory',
  async (engine) => {
    await startEngine({ engine });
    const flow = smallFlow({ classes: 3 }, 2, 0.3);
    const z = randomLatents(flow, 2, 7);
    const options = { label: 1, mode: 'eager', guidance: { weight: 1 } } as const;
    const expected = await inverse(flow, z, options);
    const before = tf.memory().numTensors;
    const solver = { kind: 'slidingWindow', window: 4, tolerance: 0 } as const;
    const images = await inverse(flow, z, { ...options, solver });
    expect(difference(images, expected)).toBeLessThan(1e-5);
    images.dispose();
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([z, expected]);
    disposeModel(flow);

    // A place far from the end, so that entries before and behind the slice are many.
    const written = tf.tidy(() =>
      withSlice(tf.zeros([40]), 0, tf.scalar(20, 'int32'), tf.tensor1d([1, 2, 3])).dataSync(),
    );
    expect([...written]).toEqual(
      Array.from({ length: 40 }, (_, i) => (Math.max(0, i - 19) % 4) * +(i < 23)),
    );

    // Each round's tensors go with it.
    const counts: number[] = [];
    tf.tidy(() => {
      const [sum] = advance(tf.scalar(0, 'int32'), 50, [tf.zeros([3])], (round, [x]) => {
        counts.push(tf.memory().numTensors);
        const next = tf.add(round, tf.scalar(1, 'int32')) as tf.Scalar;
        return { next, carried: [tf.add(x!, 1)] };
      });
      expect([...sum!.dataSync()]).toEqual([50, 50, 50]);
    });
    expect(Math.max(...counts) - counts[1]!).toBeLessThanOrEqual(1);
  },
);
