import { expect, onTestFinished, test, vi } from 'vitest';
import { productRate } from '../../../workbook/measures/machine-rates.js';
import { expectNoTensorsLeft } from '../../leaks.js';

test('a rate is work by the least time that it takes, and no tensor stays', () => {
  expectNoTensorsLeft();
  // Two clock readings each: the work takes 4, 2, 3 and 5 seconds.
  const readings = [4, 2, 3, 5].flatMap((seconds) => [0, 1000 * seconds]);
  const now = vi.spyOn(performance, 'now').mockImplementation(() => readings.shift() as number);
  onTestFinished(() => now.mockRestore());
  expect(productRate(64)).toBe((2 * 64 ** 3) / 2);
});
