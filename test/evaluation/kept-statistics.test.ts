import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { imagesTensor, loadDataset } from '../../src/data/index.js';
import { featureStatistics } from '../../src/evaluation/feature-statistics.js';
import {
  featuresOf,
  keptStatistics,
  statisticsOfImages,
} from '../../src/evaluation/image-features.js';
import type { FeatureNetwork } from '../../src/pretrained/feature-network.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { sharedFolder } from '../temporary-folder.js';

const cacheBefore = process.env.TARFLOW_CACHE;
const cache = sharedFolder();
const kept = path.join(cache, 'features', 'statistics');
let data: Awaited<ReturnType<typeof loadDataset>>;
/** The number of batches that networks saw. */
let batches = 0;

beforeAll(async () => {
  data = await loadDataset('fashion-mnist', 'test');
  process.env.TARFLOW_CACHE = cache;
});

beforeEach(() => {
  batches = 0;
  fs.rmSync(kept, { recursive: true, force: true });
});

afterAll(() => {
  if (cacheBefore === undefined) delete process.env.TARFLOW_CACHE;
  else process.env.TARFLOW_CACHE = cacheBefore;
});

/** A network whose features are means of rows of pixels. */
function rowMeans(more: Partial<FeatureNetwork> = { weights: 'a' }): FeatureNetwork {
  return {
    name: 'row means',
    width: 28,
    features: (images) => {
      batches++;
      return tf.tidy(() => tf.mean(tf.squeeze(images, [1]), -1) as tf.Tensor2D);
    },
    dispose() {},
    ...more,
  };
}

const first = (count: number) => ({ data, indices: Array.from({ length: count }, (_, i) => i) });

describe('statistics of images', () => {
  test('are those of all their features, in whatever batches', async () => {
    const whole = featureStatistics(await featuresOf(rowMeans(), first(1300)));
    const before = tf.memory().numTensors;
    const seen: number[] = [];
    const parts = await statisticsOfImages(rowMeans(), first(1300), {
      batchSize: 70,
      onProgress: (share) => void seen.push(share),
    });
    expect(tf.memory().numTensors).toBe(before);
    expect(parts.count).toBe(1300);
    expect([seen.length, seen.at(-1)]).toEqual([19, 1]);
    const largest = (a: Float64Array, b: Float64Array) =>
      Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))));
    expect(largest(parts.mean, whole.mean)).toBeLessThan(1e-7);
    expect(largest(parts.covariance, whole.covariance)).toBeLessThan(1e-7);
    await expect(statisticsOfImages(rowMeans(), first(1))).rejects.toThrow(/two images or more/);
  });

  test('leave no tensor where a feature is not finite', async () => {
    const broken = rowMeans({
      features: (images) => tf.fill([images.shape[0], 28], Number.NaN) as tf.Tensor2D,
    });
    expectNoTensorsLeft();
    await expect(statisticsOfImages(broken, first(4))).rejects.toThrow(/not finite/);
  });

  test('tell how far they are, from the first image that is read to the last that is seen', async () => {
    const shares: number[] = [];
    const onProgress = (share: number) => void shares.push(share);
    await keptStatistics(rowMeans(), first(100), { ...named, onProgress });
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect([shares.length, shares[0], shares.at(-1)]).toEqual([4, 0.05, 1]);
  });

  test('are kept on disk and computed once', async () => {
    const once = await keptStatistics(rowMeans(), first(60), { name: 'fashion-mnist/test' });
    expect(batches).toBe(2);
    expect(await keptStatistics(rowMeans(), first(60), { name: 'other name' })).toEqual(once);
    expect(batches).toBe(2);
    expect(fs.readdirSync(kept)).toHaveLength(1);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['of other weights', () => keptStatistics(rowMeans({ weights: 'b' }), first(60), named)],
    ['of another number of images', () => keptStatistics(rowMeans(), first(59), named)],
    [
      'of other images',
      () => keptStatistics(rowMeans(), { data, indices: [1, ...first(59).indices] }, named),
    ],
    [
      'of a tensor',
      async () => {
        const images = imagesTensor(data, first(60).indices);
        await keptStatistics(rowMeans(), images, named);
        const seen = batches;
        await keptStatistics(rowMeans(), images, named);
        expect(batches).toBe(seen);
      },
    ],
  ])('%s are their own', async (_, compute) => {
    await keptStatistics(rowMeans(), first(60), named);
    const before = batches;
    await compute();
    expect(batches).toBe(before + 2);
    expect(fs.readdirSync(kept)).toHaveLength(2);
  });

  test('of a network without a digest of its weights are not kept', async () => {
    await keptStatistics(rowMeans({}), first(60), named);
    expect(fs.existsSync(kept)).toBe(false);
  });

  test('that are damaged on disk are computed anew, and a cache that takes none is no error', async () => {
    const once = await keptStatistics(rowMeans(), first(60), named);
    const file = path.join(kept, fs.readdirSync(kept)[0] as string);
    fs.truncateSync(file, 100);
    expect(await keptStatistics(rowMeans(), first(60), named)).toEqual(once);
    expect(batches).toBe(4);
    fs.rmSync(kept, { recursive: true });
    fs.writeFileSync(kept, 'a file where the folder belongs');
    expect(await keptStatistics(rowMeans(), first(60), named)).toEqual(once);
    expect(batches).toBe(6);
  });
});

test.each([0, -1, 1.5])(
  'a batch of %d images is refused, before one is read',
  async (batchSize) => {
    const unread = {
      data: {
        ...data,
        read: () => {
          throw new Error('samples were read');
        },
      },
      indices: [0, 1, 2],
    };
    const unseen = rowMeans({
      weights: 'a',
      features: () => {
        throw new Error('a network saw images');
      },
    });
    const images = imagesTensor(data, [0, 1, 2]);
    const refusal = `The batch size is ${batchSize}. Expected a whole number above 0.`;
    for (const some of [unread, images]) {
      await expect(featuresOf(unseen, some, { batchSize })).rejects.toThrow(refusal);
      await expect(statisticsOfImages(unseen, some, { batchSize })).rejects.toThrow(refusal);
      await expect(keptStatistics(unseen, some, { ...named, batchSize })).rejects.toThrow(refusal);
    }
  },
);

const named = { name: 'fashion-mnist/test' };
