import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { functionLengths } from './function-lengths.js';
import { readSources } from './rooms.js';

/** A function that a reader can hold; about 80 lines is the aim. */
const mostLines = 90;

/** The longest function of rooms that still have longer ones. These bounds only go down. */
const exceptions: Record<string, number> = {
  evaluation: 139,
  sampling: 120,
};

const sources = readSources(path.resolve(__dirname, '../../src'));
const lengths = [...sources].flatMap(([file, text]) => functionLengths(file, text));
const rooms = [...new Set([...sources.keys()].map((file) => file.split('/')[0] as string))];

describe('functions that a reader can hold', () => {
  test.each(rooms)('%s', (room) => {
    const bound = exceptions[room] ?? mostLines;
    const own = lengths.filter(({ place }) => /^[^/:]+/.exec(place)?.[0] === room);
    expect(own.filter(({ lines }) => lines > bound)).toEqual([]);
    // A bound that nothing needs any more would let a function grow again.
    const longest = Math.max(0, ...own.map(({ lines }) => lines));
    expect(bound, `the bound of ${room}`).toBe(bound > mostLines ? longest : mostLines);
  });

  test('the exceptions are rooms', () => {
    expect(Object.keys(exceptions).filter((room) => !rooms.includes(room))).toEqual([]);
  });
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
