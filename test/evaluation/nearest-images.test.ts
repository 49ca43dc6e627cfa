import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import { tf } from '../../src/backend/tf.js';
import { imageDataset, imagesTensor } from '../../src/data/index.js';
import { nearestImages } from '../../src/evaluation/nearest-images.js';

beforeAll(async () => {
  await startEngine();
});

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
  const before = tf.memory().numTensors;
  const queries = imagesTensor(data, [250, 5]);
  const moved = tf.add(queries, 0.001) as tf.Tensor4D;
  const found = nearestImages(moved, data);
  expect(found.map(({ index }) => index)).toEqual([250, 5]);
  for (const { distance } of found) expect(distance).toBeCloseTo(0.001, 3);
  tf.dispose([queries, moved]);
  expect(tf.memory().numTensors).toBe(before);
});

test('queries are clipped, and the first images alone can be asked', () => {
  const queries = tf.tensor4d([-9, -9, 1, 1], [2, 1, 1, 2]);
  expect(nearestImages(queries, data, 100)).toEqual([
    { index: 0, distance: 0 },
    { index: 99, distance: expect.closeTo(2 - 99 / 127.5, 4) },
  ]);
  queries.dispose();
});
