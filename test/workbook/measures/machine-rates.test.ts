import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import {
  processorCaches,
  productRate,
  readingRate,
} from '../../../workbook/measures/machine-rates.js';
import { temporaryFolder } from '../../cli/command-line.js';
import { expectNoTensorsLeft } from '../../leaks.js';

test('rates are work by the least time that it takes, and no tensor stays', () => {
  expectNoTensorsLeft();
  // Of two clock readings each: the work takes 4, 2, 3 and 5 seconds.
  const clock = (seconds: number[]) => {
    const readings = seconds.flatMap((each) => [0, 1000 * each]);
    const now = vi.spyOn(performance, 'now').mockImplementation(() => readings.shift() as number);
    onTestFinished(() => now.mockRestore());
  };
  clock([4, 2, 3, 5]);
  expect(productRate(64)).toBe((2 * 64 ** 3) / 2);
  clock([4, 2, 3, 5]);
  expect(readingRate(2 ** 16)).toBe(2 ** 16 / 2);
});

test('caches of data are told, nearest first, and none where nothing tells them', () => {
  const folder = temporaryFolder();
  const entries = [
    ['index0', '1', 'Data', '32K'],
    ['index1', '1', 'Instruction', '64K'],
    ['index3', '3', 'Unified', '96M'],
    ['index2', '2', 'Unified', '2048K'],
    ['index4', '4', 'Unified', '1G'],
  ] as const;
  for (const [name, level, type, size] of entries) {
    fs.mkdirSync(path.join(folder, name));
    for (const [what, value] of Object.entries({ level, type, size })) {
      fs.writeFileSync(path.join(folder, name, what), `${value}\n`);
    }
  }
  fs.writeFileSync(path.join(folder, 'uevent'), '');
  expect(processorCaches(folder)).toEqual([
    { level: 1, bytes: 32 * 2 ** 10 },
    { level: 2, bytes: 2 ** 21 },
    { level: 3, bytes: 96 * 2 ** 20 },
    { level: 4, bytes: 2 ** 30 },
  ]);
  expect(processorCaches(path.join(folder, 'none'))).toEqual([]);
});
