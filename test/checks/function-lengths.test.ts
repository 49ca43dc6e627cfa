import { describe, expect, test } from 'vitest';
import { functionLengths } from './function-lengths.js';
import { readSources } from './rooms.js';

/** A function that a reader can hold. */
const mostLines = 80;
/** And a library. */
const mostLinesOfLibrary = 31_910;

const sources = readSources('src', 'workbook', 'packages/graph/src', 'packages/kernel/src');
const lengths = [...sources].flatMap(([file, text]) => functionLengths(file, text));
const roomOf = (file: string) => file.split(/[/:]/).slice(0, 2).join('/');
const rooms = [...new Set([...sources.keys()].map(roomOf))];

describe('functions that a reader can hold', () => {
  test.each(rooms)('%s', (room) => {
    const own = lengths.filter(({ place }) => roomOf(place) === room);
    expect(own.filter(({ lines }) => lines > mostLines)).toEqual([]);
  });
});

test(`src has at most ${mostLinesOfLibrary} lines`, () => {
  const lines = [...readSources('src').values()].map((text) => text.split('\n').length - 1);
  const sum = lines.reduce((total, count) => total + count, 0);
  expect(sum).toBeLessThanOrEqual(mostLinesOfLibrary);
});

test('functions are measured from their first to their last line, whatever their form', () => {
  const text = `
/** Not a part of the function. */
export function outer(
  a: number,
): number {
  const inner = () => {
    return a;
  };
  return inner();
}
class Box {
  constructor(readonly width: number) {}
  get area(): number {
    return [this.width].map((side) =>
      side * side)[0];
  }
}
declare function typeOnly(): void;
`;
  expect(functionLengths('flow/made.ts', text)).toEqual([
    { lines: 8, place: 'flow/made.ts:3 outer' },
    { lines: 4, place: 'flow/made.ts:13 area' },
    { lines: 3, place: 'flow/made.ts:6 inner' },
    { lines: 2, place: 'flow/made.ts:14 (a function)' },
    { lines: 1, place: 'flow/made.ts:12 new Box' },
  ]);
});
