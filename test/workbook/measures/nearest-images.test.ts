import { describe, expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { imageDataset, imagesTensor } from '../../../src/data/index.js';
import { nearestImages, nearShare } from '../../../workbook/measures/nearest-images.js';
import { expectNoTensorsLeft } from '../../leaks.js';

/** 6,000 images of two pixels, more than one pass takes. */
const data = imageDataset({
  name: 'pairs',
  split: 'train',
  image: { channels: 1, height: 1, width: 2 },
  classes: [],
  pixels: Uint8Array.from({ length: 12_000 }, (_, i) => Math.floor(i / 2) % 251),
  labels: new Int32Array(6000),
  licence: 'none',
});

test('the nearest image, by the root mean square of pixels', () => {
  expectNoTensorsLeft();
  const queries = imagesTensor(data, [250, 5]);
  const moved = tf.add(queries, 0.001) as tf.Tensor4D;
  const found = nearestImages(moved, data);
  expect(found.map(({ index }) => index)).toEqual([250, 5]);
  for (const { distance } of found) expect(distance).toBeCloseTo(0.001, 3);
  tf.dispose([queries, moved]);
});

test('queries are clipped, and the first images alone can be asked', () => {
  const queries = tf.tensor4d([-9, -9, 1, 1], [2, 1, 1, 2]);
  expect(nearestImages(queries, data, 100)).toEqual([
    { index: 0, distance: 0 },
    { index: 99, distance: expect.closeTo(2 - 99 / 127.5, 4) },
  ]);
});

describe('the share that is nearer than most unseen images', () => {
  const steps = (count: number, of = (i: number) => i) =>
    Array.from({ length: count }, (_, i) => of(i));

  test('is that of the quantile, for samples distributed as they are', () => {
    const unseen = steps(1000, (i) => i / 1000);
    const { yardstick, share, error } = nearShare(unseen, unseen);
    expect(yardstick).toBeCloseTo(0.05, 3);
    expect(share).toBeCloseTo(0.05, 2);
    // Of the samples √(0.05 · 0.95 / 1000), and of the yardstick as much again.
    expect(error / Math.sqrt((2 * 0.05 * 0.95) / 1000)).toBeCloseTo(1, 0);
    expect(
      nearShare(
        steps(10, () => 2),
        unseen,
      ),
    ).toEqual({ yardstick, share: 0, error: 0 });
    expect(nearShare(unseen, unseen, { quantile: 0.2 }).share).toBeCloseTo(0.2, 2);
  });

  test('has a larger error where unseen images come in groups', () => {
    const unseen = steps(400, (i) => Math.floor(i / 4) / 100);
    const samples = steps(4000, (i) => i / 4000);
    const single = nearShare(samples, unseen);
    const grouped = nearShare(samples, unseen, {
      groups: unseen.map((_, i) => String(Math.floor(i / 4))),
    });
    expect(grouped.share).toBe(single.share);
    expect(grouped.error / single.error).toBeGreaterThan(1.6);
    expect(grouped.error / single.error).toBeLessThan(2.2);
  });

  test('needs both, and a group for each unseen image', () => {
    expect(() => nearShare([], [1])).toThrow(/Distances of 0 samples and 1 unseen images came/);
    expect(() => nearShare([1], [])).toThrow(/of 1 samples and 0 unseen/);
    expect(() => nearShare([1], [1, 2], { groups: ['a'] })).toThrow(/1 groups came for 2/);
  });
});
