import { expect, test } from 'vitest';
import { loadDataset } from '../../../src/data/index.js';
import '../../../workbook/experiments/index.js';

test('noise has a grey level for each pixel, and a constant image one', async () => {
  const [noise, constants] = await Promise.all(
    ['grey-noise', 'grey-constants'].map((name) => loadDataset(name, 'test')),
  );
  expect([noise?.length, constants?.length]).toEqual([1000, 1000]);
  const levels = (pixels: Uint8Array, i: number) =>
    new Set(pixels.subarray(784 * i, 784 * (i + 1))).size;
  for (const i of [0, 999]) {
    expect(levels(noise!.pixels, i)).toBeGreaterThan(200);
    expect(levels(constants!.pixels, i)).toBe(1);
  }
  const firsts = Array.from({ length: 1000 }, (_, i) => constants!.pixels[784 * i]!);
  expect(new Set(firsts).size).toBeGreaterThan(200);
});

test('a tenth of the grey levels of clothes are others, the same ones each time', async () => {
  const [clothes, mutated, again] = await Promise.all(
    ['fashion-mnist', 'fashion-mnist-mutated', 'fashion-mnist-mutated'].map((name) =>
      loadDataset(name, 'validation'),
    ),
  );
  expect(mutated!.labels).toEqual(clothes!.labels);
  expect(mutated!.pixels.subarray(0, 7840)).toEqual(again!.pixels.subarray(0, 7840));
  const others = mutated!.pixels.filter((level, i) => level !== clothes!.pixels[i]);
  // One level in 256 is the old one.
  expect(others.length / mutated!.pixels.length).toBeCloseTo(0.1 * (255 / 256), 2);
});
