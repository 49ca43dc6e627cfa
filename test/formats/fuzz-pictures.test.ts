import { crc32, gunzipSync, gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { expect } from 'vitest';
import { pictureFileBytes, readPictureFile } from '../../src/compression/picture-file.js';
import { decodedImage, measuredImage } from '../../src/data/encoded/image-file.js';
import { type Format, fuzz } from './fuzzing.js';

const size = { channels: 3, height: 5, width: 6 };
const raw = { width: 6, height: 5, channels: 3 } as const;
const pixels = Uint8Array.from({ length: 90 }, (_, i) => (i * 37) % 256);
const kinds = ['jpeg', 'webp', 'gif', 'tiff', 'avif'] as const;

/** A picture of a kind, as the reader of data sets decodes it. */
const picture = (kind: (typeof kinds)[number] | 'png'): Format => ({
  sample: () => sharp(pixels, { raw }).toFormat(kind).toBuffer(),
  async read(name, bytes) {
    const levels = await decodedImage({ name, bytes }, size, 'exact');
    expect(levels.length).toBe(90);
    return Buffer.from(levels).toString('hex');
  },
});

/** A PNG whose chunks have the sums that fit them. */
function withPngSums(png: Uint8Array): Buffer {
  const summed = Buffer.from(png);
  for (let at = 8; at + 12 <= summed.length; ) {
    const end = at + 8 + summed.readUInt32BE(at);
    if (end + 4 > summed.length) break;
    summed.writeUInt32BE(crc32(summed.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return summed;
}

/** A JPEG as the published code crops it, quickly and exactly, and what is said of its size. */
const published: Format = {
  sample: () => sharp(pixels, { raw }).jpeg().toBuffer(),
  async read(name, bytes) {
    const smaller = { channels: 3, height: 4, width: 4 };
    const { image } = await measuredImage({ name, bytes });
    expect(image.height * image.width).toBeGreaterThan(0);
    const found = [JSON.stringify(image)];
    for (const fit of ['published', 'fast'] as const) {
      const levels = await decodedImage({ name, bytes }, smaller, fit);
      expect(levels.length).toBe(48);
      found.push(Buffer.from(levels).toString('hex'));
    }
    return found.join();
  },
};

const compressed = pictureFileBytes({
  model: { file: 'flow.safetensors', digest: '0123456789abcdef' },
  engine: { name: 'tensorflow', version: '2.21.0' },
  names: ['first', 'second'],
  label: [0, -1],
  batch: 2,
  checksum: 'fedcba98',
  code: Uint8Array.from({ length: 100 }, (_, i) => (i * 37) % 256),
});

/** What a file of compressed pictures says, without decoding them: their sum is compared then. */
async function compressedPictures(file: string, bytes: Uint8Array): Promise<string> {
  const { code, ...header } = await readPictureFile(file);
  const content = gunzipSync(bytes);
  const end = content.indexOf('\n');
  expect(header).toEqual(JSON.parse(content.subarray(0, end).toString()));
  expect(Buffer.compare(code, content.subarray(end + 1))).toBe(0);
  return JSON.stringify([header, [...code]]);
}

const formats: Record<string, Format> = {
  ...Object.fromEntries(kinds.map((kind) => [`pictures of ${kind}`, picture(kind)])),
  'pictures of png': { ...picture('png'), summed: () => true },
  'chunks of png': { ...picture('png'), pack: withPngSums },
  'pictures of jpeg, as the published code reads them': published,
  'compressed pictures': {
    sample: () => compressed,
    read: compressedPictures,
    summed: () => true,
  },
  'compressed pictures within gzip': {
    sample: () => gunzipSync(compressed),
    pack: (damaged) => gzipSync(damaged),
    read: compressedPictures,
  },
};

fuzz(formats);
