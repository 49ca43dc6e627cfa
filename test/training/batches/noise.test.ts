import { describe, expect, test } from 'vitest';
import { normal, randomKey } from '../../../src/core/random.js';
import { type Noise, noisyImages } from '../../../src/training/batches/index.js';

const count = 100_000;

/** Many noisy copies of one grey level. */
function copies(grey: number, noise: Noise, seed = 1): Float32Array {
  return noisyImages(new Uint8Array(count).fill(grey), noise, randomKey(seed));
}

describe('uniform noise of one grey level', () => {
  test.each([0, 1, 127, 255])('grey %i stays in its cell, and fills it evenly', (grey) => {
    const [low, high] = [(2 * grey) / 256 - 1, (2 * (grey + 1)) / 256 - 1];
    const tenths = new Array<number>(10).fill(0);
    const values = copies(grey, { kind: 'uniform' });
    expect(values.every((value) => value >= low && value <= high)).toBe(true);
    for (const value of values) {
      const tenth = Math.min(9, Math.floor((10 * (value - low)) / (high - low)));
      tenths[tenth] = (tenths[tenth] as number) + 1;
    }
    // Five standard deviations of a count.
    const bound = 5 * Math.sqrt(count * 0.1 * 0.9);
    for (const found of tenths) expect(Math.abs(found - count / 10)).toBeLessThan(bound);
  });
});

test('without noise pixels are on the scale of images', () => {
  const greys = Uint8Array.of(0, 51, 255);
  const images = noisyImages(greys, { kind: 'none' }, randomKey(1));
  expect([...images]).toEqual([-1, Math.fround(51 / 127.5 - 1), 1]);
});

describe('latents', () => {
  const latents = Float32Array.of(-3.5, 0, 0.25, 7);

  test('are numbers as they are, with noise', () => {
    expect(noisyImages(latents, { kind: 'none' }, randomKey(1))).toEqual(latents);
    const noise = normal(randomKey(1), 4);
    expect(noisyImages(latents, { kind: 'gaussian', sigma: 0.5 }, randomKey(1))).toEqual(
      latents.map((value, i) => value + 0.5 * (noise[i] as number)),
    );
  });

  test('have no grey levels to spread', () => {
    expect(() => noisyImages(latents, { kind: 'uniform' }, randomKey(1))).toThrow(
      /Latents came with uniform noise.*noise=gaussian:SIGMA/,
    );
  });
});
