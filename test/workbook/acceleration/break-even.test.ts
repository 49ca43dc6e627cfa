import { expect, test } from 'vitest';
import type { AccelerationRow } from '../../../workbook/acceleration/acceleration.js';
import { breakEven, breakEvenOf } from '../../../workbook/acceleration/break-even.js';

test('n* is the number of evaluations that take as long as a block solved sequentially', () => {
  // Two blocks in 12 ms; 30 evaluations in 15 ms, half a millisecond each.
  const found = breakEven(12, 15, [10, 20]);
  expect(found).toEqual({ star: 12, mean: 15, fewest: 10, most: 20 });
  // Jacobi in all blocks is as much faster as n* is above the mean count.
  expect(found.star / found.mean).toBeCloseTo(12 / 15, 12);
});

test('a table gives it from its rows of sequential sampling and of Jacobi iteration', () => {
  const row = (strategy: string, milliseconds: number, iterations: number[]) =>
    ({ strategy, milliseconds, iterations }) as unknown as AccelerationRow;
  const rows = [row('sequential', 12, [0, 0]), row('Jacobi', 15, [10, 20])];
  expect(breakEvenOf({ rows })).toEqual(breakEven(12, 15, [10, 20]));
  expect(() => breakEvenOf({ rows: rows.slice(0, 1) })).toThrow(/no row 'Jacobi'/);
});
