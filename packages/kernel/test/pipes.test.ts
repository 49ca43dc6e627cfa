import { describe, expect, test } from 'vitest';
import { FrameReader, frameOf, LineReader, type Report } from '../src/pipes.js';

const reports: Report[] = [
  { type: 'ready' },
  { type: 'stream', cell: 1, name: 'stdout', text: 'a 😀\n'.repeat(1000) },
  { type: 'clear', cell: 2, wait: true },
];

describe('reports in a pipe', () => {
  test.each([1, 3, 7, 4096, 1_000_000])('come whole from pieces of %i bytes', (size) => {
    const bytes = Buffer.concat(reports.map(frameOf));
    const reader = new FrameReader();
    const found: Report[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      found.push(...reader.read(bytes.subarray(at, at + size)));
    }
    expect(found).toEqual(reports);
  });
});

test('lines in a pipe come whole, signs that are cut too', () => {
  const bytes = Buffer.from('{"a":"ä😀"}\n{"b":1}\n');
  const reader = new LineReader();
  const found = [...bytes].flatMap((_, at) => reader.read(bytes.subarray(at, at + 1)));
  expect(found).toEqual([{ a: 'ä😀' }, { b: 1 }]);
});
