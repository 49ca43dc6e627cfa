import { describe, expect, test } from 'vitest';
import {
  decodeBfloat16,
  decodeFloat16,
  encodeBfloat16,
  encodeFloat16,
} from '../../src/formats/half.js';

const formats = {
  binary16: { encode: encodeFloat16, decode: decodeFloat16, infinity: 0x7c00 },
  bfloat16: { encode: encodeBfloat16, decode: decodeBfloat16, infinity: 0x7f80 },
};

describe.each(Object.entries(formats))('%s', (_, { encode, decode, infinity }) => {
  test('every bit pattern that is a number survives decoding and encoding', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = decode(bits);
      if (Number.isNaN(value)) {
        expect(bits & 0x7fff).toBeGreaterThan(infinity);
        expect(decode(encode(value))).toBeNaN();
      } else if (encode(value) !== bits) {
        expect({ bits, value, encoded: encode(value) }).toBe('the same bits');
      }
    }
  });

  test('patterns of positive numbers are in the order of the numbers', () => {
    for (let bits = 1; bits <= infinity; bits++) {
      if (!(decode(bits) > decode(bits - 1))) expect(bits).toBe('larger than the one before');
    }
  });

  test('a value between two neighbours goes to the nearer, and from the middle to the even', () => {
    for (let bits = 0; bits < infinity - 1; bits++) {
      const low = decode(bits);
      const high = decode(bits + 1);
      const middle = (low + high) / 2;
      // In the range of float32's own subnormals the middle is no float32.
      if (Math.fround(middle) !== middle) continue;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const below = nextFloat32(middle, -1);
      const above = nextFloat32(middle, 1);
      const got = [encode(middle), encode(below), encode(above), encode(-middle)];
      const expected = [even, bits, bits + 1, even | 0x8000];
      if (got.join() !== expected.join()) expect({ bits, got }).toEqual({ bits, expected });
    }
  });
});

test('infinities, signed zeros and overflow', () => {
  for (const { encode, decode, infinity } of Object.values(formats)) {
    expect(encode(Number.POSITIVE_INFINITY)).toBe(infinity);
    expect(encode(Number.NEGATIVE_INFINITY)).toBe(infinity | 0x8000);
    expect(decode(infinity)).toBe(Number.POSITIVE_INFINITY);
    expect(encode(-0)).toBe(0x8000);
    expect(decode(0x8000)).toBe(-0);
    expect(encode(3.4028234663852886e38)).toBe(infinity);
  }
  // 65504 is binary16's largest number; 65520 is half-way to the next, which does not exist.
  expect(decodeFloat16(encodeFloat16(65519.99609375))).toBe(65504);
  expect(encodeFloat16(65520)).toBe(0x7c00);
});

test('known values', () => {
  expect(encodeFloat16(1)).toBe(0x3c00);
  expect(encodeFloat16(-2)).toBe(0xc000);
  expect(encodeFloat16(1 / 3)).toBe(0x3555);
  expect(decodeFloat16(0x0001)).toBe(2 ** -24);
  expect(decodeFloat16(0x03ff)).toBe(1023 * 2 ** -24);
  expect(encodeFloat16(2 ** -25)).toBe(0); // half of the smallest subnormal: to even
  expect(encodeFloat16(2 ** -25 * 1.5)).toBe(1);
  expect(encodeBfloat16(Math.PI)).toBe(0x4049);
  expect(decodeBfloat16(0x0001)).toBe(2 ** -133);
});

function nextFloat32(value: number, direction: 1 | -1): number {
  const array = new Float32Array([value]);
  const bits = new Int32Array(array.buffer);
  bits[0] = (bits[0] as number) + direction;
  return array[0] as number;
}
