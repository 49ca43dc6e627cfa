import { describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { tokenCount } from '../../src/flow/patches.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { type TarFlowConfig, tarflow } from '../../src/models/index.js';
import { train } from '../../src/training/train.js';
import { madeUpImages, smallConfig, smallSettings } from './small.js';

const config: TarFlowConfig = { ...smallConfig, patchSize: 1, channels: 32, headWidth: 16 };
const batchSize = 64;
/** From here on memory has to be flat. */
const early = 50;
/** A leak of less than a tenth of a step's activations shows in longer runs: `npm run nightly`. */
const many = process.env.TARFLOW_NIGHTLY ? 5000 : 150;

/**
 * Bytes that a step keeps for its gradient, at the least: of every row of a layer two inputs of
 * normalisations, queries, keys and values, what attention gives, and the hidden numbers before and
 * after the GELU.
 */
const activations =
  4 * batchSize * tokenCount(config) * config.channels * 14 * config.blocks * config.layersPerBlock;

describe('memory stays flat', () => {
  test.each([
    [many, 'graph', 'float32'],
    [150, 'xla', 'bfloat16'],
    ...(process.env.TARFLOW_NIGHTLY
      ? ([
          [150, 'graph', 'bfloat16'],
          [150, 'xla', 'float32'],
        ] as const)
      : []),
  ] as const)('over %d training steps, %s, %s', async (late, mode, precision) => {
    // The validation after the last step takes memory of its own.
    const steps = late + 1;
    const before = tf.memory().numTensors;
    const seen = new Map<number, { tensors: number; bytes: number; resident: number }>();
    const { model } = await train({
      family: tarflow,
      config,
      settings: { ...smallSettings, batchSize, precision, steps, validateEvery: steps },
      data: madeUpImages('train', batchSize),
      validation: madeUpImages('test', 20),
      mode,
      onStep: ({ step }) => {
        const { numTensors: tensors, numBytes: bytes } = tf.memory();
        seen.set(step, { tensors, bytes, resident: process.memoryUsage.rss() });
      },
    });
    disposeModel(model);
    expect(tf.memory().numTensors).toBe(before);
    expect(seen.size).toBe(steps);

    const [first, last] = [seen.get(early)!, seen.get(late)!];
    expect(last.tensors).toBe(first.tensors);
    expect(last.bytes).toBe(first.bytes);
    // What the JavaScript heap and the allocators keep moves by some megabytes. Were a step's
    // activations kept, or a tenth of them, memory would grow by more than this.
    expect(activations).toBeGreaterThan(1e6);
    // However long the run is: a leak has more steps to show in.
    expect(last.resident - first.resident).toBeLessThan(10 * activations);
  });
});
