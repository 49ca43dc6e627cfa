import { expect, test } from 'vitest';
import { LineReader, lineOf, type Report } from '../src/pipes.js';

const reports: Report[] = [
  { type: 'ready' },
  { type: 'stream', cell: 1, name: 'stdout', text: 'a 😀\n'.repeat(1000) },
  { type: 'clear', cell: 2, wait: true },
];

test.each([1, 3, 7, 4096, 1_000_000])('reports come whole from pieces of %i bytes', (size) => {
  const bytes = Buffer.from(reports.map(lineOf).join(''));
  const reader = new LineReader<Report>();
  const found: Report[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    found.push(...reader.read(bytes.subarray(at, at + size)));
  }
  expect(found).toEqual(reports);
});
