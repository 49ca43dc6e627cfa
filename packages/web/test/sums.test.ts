import * as zlib from 'node:zlib';
import { expect, test } from 'vitest';
import { crc32 } from '../src/crc32.js';

test('CRC-32 in a page is that of zlib', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
  for (const length of [0, 1, 2, 255, 4096]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * i * 31 + length) % 256);
    expect(crc32(bytes)).toBe(zlib.crc32(bytes));
  }
});
