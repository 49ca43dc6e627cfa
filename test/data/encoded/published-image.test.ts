import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import {
  jpegFrame,
  nearlyPublishedImage,
  publishedImage,
} from '../../../src/data/encoded/published-image.js';
import { resizedAndCropped } from '../../../src/data/encoded/resample.js';

/** What torchvision and Pillow gave, in base 64. */
interface Reference {
  sizes: { height: number; width: number; channels: number; size: number; values: string }[];
  kinds: Record<string, { whole: string; scaled: string; grey: string }>;
}

const reference = JSON.parse(
  fs.readFileSync(path.join(__dirname, 'reference.json'), 'utf8'),
) as Reference;
const numbers = (text: string) => [...Buffer.from(text, 'base64')];
const bytesOf = (name: string) => fs.readFileSync(path.join(__dirname, 'images', name));
const square = (size: number, channels = 3) => ({ channels, height: size, width: size });

/** The formula of reference.py. */
function made(length: number, channels: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => {
    if (i % 3 === 0) return (i * 7919 + ((i * i) % 8191)) % 256;
    if (Math.floor(i / 40) % 2 !== 0) return Math.floor(i / 11) % 256;
    return Math.floor(i / (5 * channels)) % 2 === 0 ? 0 : 255;
  });
}

describe('resize and crop are those of torchvision and Pillow, to the bit', () => {
  test.each(reference.sizes)('$height×$width×$channels to $size', (one) => {
    const { height, width, channels, size, values } = one;
    const data = made(height * width * channels, channels);
    const image = { channels, height, width, data };
    expect([...resizedAndCropped(image, square(size))]).toEqual(numbers(values));
  });

  test('a frame that is not square is covered as well', () => {
    const data = new Uint8Array(40 * 30).fill(200);
    const image = { channels: 1, height: 40, width: 30, data };
    for (const [height, width] of [
      [4, 9],
      [9, 4],
      [40, 30],
    ] as const) {
      const values = resizedAndCropped(image, { height, width });
      expect([...values]).toEqual(Array(height * width).fill(200));
    }
  });
});

describe('images of every kind are those of Pillow, to the bit', () => {
  test.each(Object.entries(reference.kinds))('%s', async (name, { whole, scaled, grey }) => {
    const bytes = bytesOf(name);
    expect([...(await publishedImage(sharp, bytes, square(24)))]).toEqual(numbers(whole));
    expect([...(await publishedImage(sharp, bytes, square(10)))]).toEqual(numbers(scaled));
    expect([...(await publishedImage(sharp, bytes, square(10, 1)))]).toEqual(numbers(grey));
  });

  test('grey of 16 bits is scaled to eight, which Pillow would cut off', async () => {
    const raw = { width: 4, height: 4, channels: 1 } as const;
    const values = new Uint16Array(16).fill(90 * 257);
    const bytes = await sharp(values, { raw }).toColourspace('grey16').png().toBuffer();
    expect([...(await publishedImage(sharp, bytes, square(4, 1)))]).toEqual(Array(16).fill(90));
  });
});

describe('the fast decode', () => {
  /** Smooth, so that a shift by a pixel would show less than another picture. */
  const pixels = Uint8Array.from({ length: 375 * 500 * 3 }, (_, i) => {
    const [x, y, channel] = [Math.floor(i / 3) % 500, Math.floor(i / 1500), i % 3];
    return Math.round(128 + 100 * Math.sin(x / 23 + channel) * Math.cos(y / 31 - channel));
  });
  const picture = sharp(pixels, { raw: { width: 500, height: 375, channels: 3 } });

  test.each([3, 1])('is near the published one, with %i channels', async (channels) => {
    const bytes = await picture.clone().jpeg({ quality: 95 }).toBuffer();
    const image = square(64, channels);
    const [exact, fast] = await Promise.all(
      [publishedImage, nearlyPublishedImage].map((f) => f(sharp, bytes, image)),
    );
    const away = exact!.map((value, i) => Math.abs(value - fast![i]!));
    expect(exact!.length).toBe(64 * 64 * channels);
    expect(Math.max(...away)).toBeGreaterThan(0);
    expect(away.reduce((sum, each) => sum + each, 0) / away.length).toBeLessThan(2);
  });

  test.each(['cmyk.jpg', 'grey.jpg', 'alpha.png'])('leaves %s exact', async (name) => {
    const [exact, fast] = await Promise.all(
      [publishedImage, nearlyPublishedImage].map((f) => f(sharp, bytesOf(name), square(10))),
    );
    expect(fast).toEqual(exact);
  });
});

test('size and components of a JPEG are read from its frame', () => {
  const of = (name: string) => jpegFrame(bytesOf(name));
  const size = { height: 24, width: 30 };
  expect(of('colour.jpg')).toEqual({ ...size, components: 3 });
  expect(of('progressive.jpg')).toEqual({ ...size, components: 3 });
  expect(of('profile.jpg')).toEqual({ ...size, components: 3 });
  expect(of('grey.jpg')).toEqual({ ...size, components: 1 });
  expect(of('cmyk.jpg')).toEqual({ ...size, components: 4 });
  expect(of('colour.png')).toBeUndefined();
  expect(jpegFrame(bytesOf('colour.jpg').subarray(0, 30))).toBeUndefined();
  expect(jpegFrame(Uint8Array.of(0xff, 0xd8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))).toBeUndefined();
  // Filled between two markers.
  const whole = bytesOf('grey.jpg');
  const filled = Buffer.concat([whole.subarray(0, 2), Buffer.of(0xff, 0xff), whole.subarray(2)]);
  expect(jpegFrame(filled)?.components).toBe(1);
});
