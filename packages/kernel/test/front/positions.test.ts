import { expect, test } from 'vitest';
import { toCodePoints, toUnits } from '../../src/front/positions.js';

test('positions pass between code points and UTF-16 units', () => {
  const code = 'a😀b';
  expect([0, 1, 2, 3, 9].map((position) => toUnits(code, position))).toEqual([0, 1, 3, 4, 4]);
  expect([0, 1, 3, 4].map((position) => toCodePoints(code, position))).toEqual([0, 1, 2, 3]);
});
