import { describe, expect, test } from 'vitest';
import { foldIn, normal, type RandomKey, uniform } from '../../../src/core/random.js';
import type { RawBatch } from '../../../src/data/index.js';
import type { FeedSettings } from '../../../src/flow/model.js';
import { noisyImageFeeds, sampleKeys } from '../../../src/training/batches/index.js';

const image = { channels: 1, height: 2, width: 3 };
const gaussian: FeedSettings = {
  noise: { kind: 'gaussian', sigma: 0.1 },
  dropLabel: 0,
  flip: false,
};

/** Samples that all show the same: a ramp. */
function ramps(count: number): RawBatch {
  return {
    count,
    image,
    values: Uint8Array.from({ length: 6 * count }, (_, i) => 40 * (i % 6)),
    labels: Int32Array.from({ length: count }, (_, i) => i % 3),
  };
}

const keysOf = (count: number, seed = 1): RandomKey[] =>
  sampleKeys(
    seed,
    0,
    Array.from({ length: count }, (_, i) => i),
  );

function images(raw: RawBatch, keys: RandomKey[], settings: FeedSettings): Float32Array {
  return noisyImageFeeds({ classes: 0 }, raw, keys, settings).images as Float32Array;
}

test('noise comes from the key of each sample alone', () => {
  const raw = ramps(4);
  const keys = keysOf(4);
  const drawn = images(raw, keys, gaussian);
  const expected = keys.flatMap((key) => {
    const noise = normal(foldIn(key, 'noise'), 6);
    return Array.from(noise, (value, i) => Math.fround((40 * i) / 127.5 - 1 + 0.1 * value));
  });
  expect([...drawn]).toEqual(expected);
  const turned = images(raw, [...keys].reverse(), gaussian);
  expect(turned.subarray(0, 6)).toEqual(drawn.subarray(18));
});

describe('flips', () => {
  const settings: FeedSettings = { noise: { kind: 'none' }, dropLabel: 0, flip: true };

  test('mirror about half of the samples, each by its key', () => {
    const keys = keysOf(400);
    const drawn = images(ramps(400), keys, settings);
    const plain = images(ramps(1), keysOf(1), { ...settings, flip: false });
    const mirrored = [2, 1, 0, 5, 4, 3].map((i) => plain[i]);
    const flipped = keys.map((key) => (uniform(foldIn(key, 'flip'), 1)[0] as number) >= 0.5);
    flipped.forEach((turned, sample) => {
      const got = [...drawn.subarray(6 * sample, 6 * sample + 6)];
      expect(got).toEqual(turned ? mirrored : [...plain]);
    });
    expect(Math.abs(flipped.filter(Boolean).length - 200)).toBeLessThan(50);
  });

  test('leave the samples that were read as they are', () => {
    const raw = ramps(8);
    const before = raw.values.slice();
    images(raw, keysOf(8), settings);
    expect(raw.values).toEqual(before);
  });
});

describe('classes', () => {
  const count = 6_000;
  const raw = ramps(count);
  const rows = (dropLabel: number, seed = 1): Float32Array => {
    const settings = { ...gaussian, dropLabel };
    return noisyImageFeeds({ classes: 3 }, raw, keysOf(count, seed), settings)
      .classes as Float32Array;
  };
  /** 1 where a row is the uniform mixture of a dropped label; fails for any third kind of row. */
  const dropped = (mixtures: Float32Array): number[] =>
    Array.from({ length: count }, (_, i) => {
      const row = Array.from(mixtures.subarray(3 * i, 3 * i + 3));
      if (row.every((share) => share === Math.fround(1 / 3))) return 1;
      expect(row).toEqual([0, 1, 2].map((c) => (c === i % 3 ? 1 : 0)));
      return 0;
    });
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);

  test.each([0.1, 0.5])('are dropped with probability %d, else kept', (dropLabel) => {
    const drops = dropped(rows(dropLabel));
    const deviation = Math.sqrt(count * dropLabel * (1 - dropLabel));
    expect(Math.abs(sum(drops) - count * dropLabel)).toBeLessThan(4 * deviation);
    // Neighbours are dropped independently, and another seed drops others.
    const pairs = sum(drops.map((drop, i) => drop * (drops[i + 1] ?? 0)));
    expect(Math.abs(pairs / count - dropLabel ** 2)).toBeLessThan(0.03);
    expect(dropped(rows(dropLabel, 2))).not.toEqual(drops);
    // It is the sample's own key that decides.
    const draws = keysOf(count).map((key) => uniform(foldIn(key, 'drop label'), 1)[0] as number);
    expect(drops).toEqual(draws.map((draw) => (draw < dropLabel ? 1 : 0)));
  });

  test('are all kept where none shall be dropped, and absent in a model without classes', () => {
    expect(sum(dropped(rows(0)))).toBe(0);
    const feeds = noisyImageFeeds({ classes: 0 }, raw, keysOf(count), gaussian);
    expect(Object.keys(feeds)).toEqual(['images']);
  });

  test('a label that the model does not know is refused', () => {
    expect(() => noisyImageFeeds({ classes: 2 }, ramps(3), keysOf(3), gaussian)).toThrow(
      /Label 2 of sample 2 is out of range/,
    );
  });
});

describe('captions', () => {
  const count = 2_000;
  const config = { classes: 0, text: { entries: 2, width: 1 } };
  const empty = Float32Array.of(-1, -2);
  const states = Float32Array.from({ length: 2 * count }, (_, i) => i);
  const raw: RawBatch = { ...ramps(count), text: { states, empty } };

  test('are dropped for the empty one with a probability, each by its key', () => {
    const keys = keysOf(count);
    const settings = { ...gaussian, dropLabel: 0.25 };
    const { text, images: noisy } = noisyImageFeeds(config, raw, keys, settings);
    const dropped = keys.map((key) => (uniform(foldIn(key, 'drop label'), 1)[0] as number) < 0.25);
    const expected = dropped.flatMap((drop, i) => (drop ? [-1, -2] : [2 * i, 2 * i + 1]));
    expect(text).toEqual(Float32Array.from(expected));
    expect(noisy).toEqual(images(raw, keys, gaussian));
    expect(Math.abs(dropped.filter(Boolean).length - count / 4)).toBeLessThan(100);
    // A batch is handed to another thread: it shares nothing with the source.
    expect(states[0]).toBe(0);
    expect(text?.buffer).not.toBe(states.buffer);
  });

  test('are all kept where none shall be dropped, and absent in a model without', () => {
    expect(noisyImageFeeds(config, raw, keysOf(count), gaussian).text).toEqual(states);
    expect(Object.keys(noisyImageFeeds({ classes: 0 }, raw, keysOf(count), gaussian))).toEqual([
      'images',
    ]);
  });

  test('that a model reads and samples lack are an error', () => {
    expect(() => noisyImageFeeds(config, ramps(2), keysOf(2), gaussian)).toThrow(
      'Samples without captions came for a model that reads them.',
    );
  });
});
