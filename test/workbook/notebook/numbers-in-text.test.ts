import { expect, test } from 'vitest';
import {
  listed,
  percent,
  span,
  twoDigits,
  verdict,
} from '../../../workbook/notebook/numbers-in-text.js';

test('a share reads as a percentage, an absent one as a dash', () => {
  expect(percent(0.8295)).toBe('83.0 %');
  expect(percent(0.8295, 0)).toBe('83 %');
  expect(percent(undefined)).toBe('–');
});

test('a span names the least and the most, or one number where both read the same', () => {
  expect(span([3.61, 2.4, 3], 1)).toBe('2.4 to 3.6');
  expect(span([-1.7, 5.04], 1)).toBe('-1.7 to 5.0');
  expect(span([1.04, 0.96], 1)).toBe('1.0');
});

test('numbers are listed in their order', () => {
  expect(listed([1.84, 5.6, 4.57], 1)).toBe('1.8, 5.6 and 4.6');
  expect(listed([1.84, 5.6], 1)).toBe('1.8 and 5.6');
  expect(listed([1.84], 1)).toBe('1.8');
  expect(listed([], 1)).toBe('');
});

test.each([
  [0, '0'],
  [0.0338, '0.034'],
  [-2.57, '-2.6'],
  [0.996, '1.0'],
  [0.00099, '9.9e-4'],
  [0.0009999, '0.0010'],
  [14.7, '15'],
  [3212, '3200'],
  [12_500, '1.3e+4'],
  [Number.NaN, 'NaN'],
])('%s with two digits is %s', (value, text) => {
  expect(twoDigits(value)).toBe(text);
});

test.each([
  [true, true, 'holds here'],
  [true, false, 'does not hold here'],
  [false, true, 'cannot be told at this size'],
  [false, false, 'cannot be told at this size'],
])('told %s, as claimed %s: %s', (told, asClaimed, words) => {
  expect(verdict(told, asClaimed)).toBe(words);
});
