import { describe, expect, test } from 'vitest';
import { mapTree, normal, randomKey, tf } from '../../src/core/index.js';
import type { ImageDataset } from '../../src/data/index.js';
import {
  bitsPerDimension,
  datasetBitsPerDimension,
} from '../../src/evaluation/bits-per-dimension.js';
import { disposeModel } from '../../src/flow/index.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import { livelyFlow, madeUpImages, smallConfig } from '../training/small.js';

const halfLog2Pi = 0.5 * Math.log(2 * Math.PI);

function images(count: number): tf.Tensor4D {
  return tf.tensor4d(normal(randomKey(8), count * 16), [count, 1, 4, 4]);
}

function withFlow<T>(use: (flow: TarFlow) => T): T {
  const flow = livelyFlow(smallConfig);
  const before = tf.memory().numTensors;
  const result = use(flow);
  expect(tf.memory().numTensors).toBe(before);
  disposeModel(flow);
  return result;
}

test('of the identity with a background: its noise is normal, the other pixels as without', () => {
  const config = { ...smallConfig, background: 0 as const };
  const flow = livelyFlow(config);
  tf.tidy(() => {
    // All parameters zero: p(y) is the standard normal density.
    const parameters = mapTree(flow.parameters, (leaf) => tf.zerosLike(leaf));
    const count = 20_000;
    const noise = Float32Array.from({ length: count * 16 }, (_, i) => (i + 0.5) / (count * 16));
    // Half of the pixels black, the others of level 200.
    const levels = noise.map((u, i) => (i % 2 === 0 ? u : 200 + u));
    const x = tf.tensor4d(
      levels.map((level) => level / 128 - 1),
      [count, 1, 4, 4],
    );
    // y of black is normal, mean −1 + 1/128 − 2.5·0.4, deviation 0.4, truncated at 2.5: the standard
    // normal's bits for it, less its entropy.
    const [kept, density] = [0.9937903, 0.0175283];
    const lambda = density / kept;
    const mean = -1 + 1 / 128 - 1 - 0.4 * lambda;
    const variance = 0.16 * (1 - 2.5 * lambda - lambda ** 2);
    const entropy = Math.log(0.4 * Math.sqrt(2 * Math.PI * Math.E) * kept) - 1.25 * lambda;
    const black = halfLog2Pi + (variance + mean ** 2) / 2 - entropy;
    const grey = halfLog2Pi + (200.5 / 128 - 1) ** 2 / 2 + Math.log(128);
    for (const mode of ['eager', 'graph', 'xla'] as const) {
      const bits = bitsPerDimension({ ...flow, parameters }, x, { mode });
      const expected = (black + grey) / 2 / Math.LN2;
      expect(Math.abs((tf.mean(bits).dataSync()[0] as number) - expected)).toBeLessThan(1e-3);
    }
  });
});

test.each([5, 6])('of %d images with labels: XLA, in parts, gives what eager gives', (count) => {
  withFlow((flow) =>
    tf.tidy(() => {
      const x = images(count);
      const label = [0, 1, 2, 0, 1, -1].slice(0, count);
      const [eager, xla] = (['eager', 'xla'] as const).map((mode) =>
        bitsPerDimension(flow, x, { label, mode }).dataSync(),
      );
      eager?.forEach((bits, i) => {
        expect(xla?.[i]).toBeCloseTo(bits, 4);
      });
    }),
  );
});

describe('of a data set', () => {
  const data = madeUpImages('test', 30);
  async function measure(
    options: Parameters<typeof datasetBitsPerDimension>[2] = {},
    of: ImageDataset = data,
  ) {
    const flow = livelyFlow(smallConfig);
    const before = tf.memory().numTensors;
    try {
      return await datasetBitsPerDimension(flow, of, options);
    } finally {
      expect(tf.memory().numTensors).toBe(before);
      disposeModel(flow);
    }
  }

  test('the batch size does not matter, the seed does', async () => {
    const whole = await measure({ seed: 3 });
    expect(whole.images).toBe(30);
    const parts = await measure({ seed: 3, batchSize: 7 });
    expect(parts.mean).toBeCloseTo(whole.mean, 5);
    expect(parts.standardError).toBeCloseTo(whole.standardError as number, 5);
    expect((await measure({ seed: 3 })).mean).toBe(whole.mean);
    expect((await measure({ seed: 4 })).mean).not.toBe(whole.mean);
  });

  test('of many batches, which XLA compiles, is that of few', async () => {
    const large = madeUpImages('test', 99);
    const [many, few] = [await measure({ batchSize: 3 }, large), await measure({}, large)];
    expect(many.mean).toBeCloseTo(few.mean, 5);
    // The last batch is smaller.
    const odd = await measure({ batchSize: 3, count: 98 }, large);
    expect(odd.mean).toBeCloseTo((await measure({ count: 98 }, large)).mean, 5);
  });

  test('is the mean and its standard error over the images', async () => {
    const one = await measure({ count: 1 });
    const two = await measure({ count: 2 });
    const second = 2 * two.mean - one.mean;
    // One image tells nothing about it.
    expect(one).toEqual({ mean: one.values[0], images: 1, values: one.values });
    // Of two values: half their distance.
    expect(two.standardError).toBeCloseTo(Math.abs(second - one.mean) / 2, 5);
  });

  test('counts beyond the data set end with it; labels are used where asked for', async () => {
    const all = await measure({ count: 99 });
    expect(all.images).toBe(30);
    expect((await measure({ useLabels: true })).mean).not.toBe(all.mean);
  });

  test('tells of its progress, and stops on a signal', async () => {
    const shares: number[] = [];
    await measure({ batchSize: 10, onProgress: (share) => shares.push(share) });
    expect(shares).toEqual([1 / 3, 2 / 3, 1]);
    const controller = new AbortController();
    const stopped = measure({
      batchSize: 10,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(stopped).rejects.toThrow('enough');
  });

  test('what does not fit is refused', async () => {
    for (const count of [0, -1, 1.5, Number.NaN]) {
      await expect(measure({ count })).rejects.toThrow(/number of images is/);
    }
    const unread: ImageDataset = {
      ...data,
      read: () => {
        throw new Error('samples were read');
      },
    };
    for (const batchSize of [0, -1, 1.5, Number.NaN]) {
      await expect(measure({ batchSize }, unread)).rejects.toThrow(
        `The batch size is ${batchSize}. Expected a whole number above 0.`,
      );
    }
    const image = { channels: 1, height: 8, width: 2 };
    const flow = livelyFlow(smallConfig);
    await expect(datasetBitsPerDimension(flow, { ...data, image })).rejects.toThrow(
      /made-up has images of 1×8×2.*takes 1×4×4/,
    );
  });
});
