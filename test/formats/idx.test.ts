import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeIdx, InvalidIdx } from '../../src/formats/idx.js';

function idx(shape: number[], data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = 0x08;
  header[3] = shape.length;
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis);
  return Buffer.concat([header, data]);
}

const image = idx([2, 3], new Uint8Array([1, 2, 3, 4, 5, 255]));

test('plain and compressed files of any shape are decoded', () => {
  const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(shapes, fc.integer(), (shape, seed) => {
      const length = shape.reduce((product, size) => product * size, 1);
      const data = Uint8Array.from({ length }, (_, i) => seed + 31 * i);
      const bytes = idx(shape, data);
      expect(decodeIdx(bytes)).toEqual({ shape, data });
      expect(decodeIdx(zlib.gzipSync(bytes))).toEqual({ shape, data });
    }),
    { numRuns: 100 },
  );
});

const damaged: Record<string, [Uint8Array, RegExp]> = {
  'an empty file': [new Uint8Array(), /number of dimensions/],
  'another kind of file': [Buffer.from('hello, world'), /104, 101/],
  'no dimensions': [idx([], new Uint8Array(1)), /0 dimensions/],
  'an end inside the shape': [image.subarray(0, 10), /2 dimensions.*10 bytes/],
  'floating-point elements': [Buffer.from(image).fill(0x0d, 2, 3), /0x0d.*0x08/],
  'too few elements': [image.subarray(0, -1), /5 elements.*6.*\(2, 3\)/],
  'too many elements': [Buffer.concat([image, image]), /Expected 6/],
  'half a gzip file': [zlib.gzipSync(image).subarray(0, 20), /decompressed/],
};

describe('a damaged file', () => {
  test.each(Object.entries(damaged))('%s', (_, [bytes, message]) => {
    expect(() => decodeIdx(bytes, 'images.gz')).toThrow(InvalidIdx);
    expect(() => decodeIdx(bytes, 'images.gz')).toThrow(message);
    expect(() => decodeIdx(bytes, 'images.gz')).toThrow(/^images\.gz/);
  });

  test('bytes changed or cut off never give anything but a named error or a whole result', () => {
    for (const whole of [image, zlib.gzipSync(image)]) {
      fc.assert(
        fc.property(
          fc.nat(whole.length),
          fc.nat(whole.length - 1),
          fc.integer({ min: 0, max: 255 }),
          (length, at, byte) => {
            const bytes = new Uint8Array(whole.subarray(0, length));
            if (at < length) bytes[at] = byte;
            try {
              const { shape, data } = decodeIdx(bytes);
              expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
            } catch (error) {
              if (!(error instanceof InvalidIdx)) throw error;
            }
          },
        ),
        { numRuns: 1000 },
      );
    }
  });
});
