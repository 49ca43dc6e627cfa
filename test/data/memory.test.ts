import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.js';
import { type ImageParts, imageDataset } from '../../src/data/index.js';
import { sourceOf } from '../../src/data/open.js';

const parts: ImageParts = {
  name: 'tiny',
  split: 'validation',
  image: { channels: 3, height: 1, width: 2 },
  classes: ['a', 'b'],
  pixels: Uint8Array.from({ length: 24 }, (_, i) => 10 * i),
  labels: Int32Array.of(0, 1, -1, 0),
  captions: ['w', 'x', 'y', 'z'],
  licence: 'CC0',
};

test('samples are read by index, with labels and captions, as copies', () => {
  const data = imageDataset(parts);
  expect(data).toMatchObject({ ...parts, length: 4 });
  const raw = data.read(Int32Array.of(2, 0, 2));
  expect(raw).toEqual({
    count: 3,
    image: parts.image,
    values: Uint8Array.from([2, 0, 2].flatMap((i) => [...parts.pixels.slice(6 * i, 6 * i + 6)])),
    labels: Int32Array.of(-1, 0, -1),
    captions: ['y', 'w', 'y'],
  });
  raw.values.fill(1);
  expect(data.pixels).toEqual(parts.pixels);
});

test('another thread reads the same memory', () => {
  const data = imageDataset(parts);
  const description = structuredClone(data.description);
  const again = sourceOf(description);
  expect(again.read([3, 1])).toEqual(data.read([3, 1]));
  // Shared, not copied: what is written here is seen there.
  data.pixels[6] = 99;
  data.labels[1] = 0;
  const { values, labels } = imageDataset(
    again.description as typeof description & ImageParts,
  ).read([1]);
  expect([values[0], labels[0]]).toEqual([99, 0]);
});

test('a data set can be made of another, in part', () => {
  const data = imageDataset(parts);
  const other = imageDataset({ ...data, labels: Int32Array.of(1, 1, 1, 1) });
  expect([...other.read([0, 2]).labels]).toEqual([1, 1]);
  expect(other.pixels.buffer).toBe(data.pixels.buffer);
  expect(sourceOf(structuredClone(other.description)).labels).toEqual(Int32Array.of(1, 1, 1, 1));
});

describe('what does not fit together is refused', () => {
  test.each([
    [
      { pixels: parts.pixels.subarray(1) },
      /tiny has 23 values and 4 labels\. Expected 6 values per image/,
    ],
    [{ classes: ['a'] }, /Image \d of tiny has label \d, and there are 1 classes/],
    [{ captions: ['w'] }, /tiny has 1 captions and 4 labels/],
  ])('%o', (wrong, message) => {
    expect(() => imageDataset({ ...parts, ...wrong })).toThrow(UserError);
    expect(() => imageDataset({ ...parts, ...wrong })).toThrow(message);
  });

  test.each([-1, 4, 0.5, Number.NaN])('index %s', (index) => {
    expect(() => imageDataset(parts).read([0, index])).toThrow(
      new RangeError(`Sample ${index} of tiny (validation): expected 0 to 3.`),
    );
  });
});
