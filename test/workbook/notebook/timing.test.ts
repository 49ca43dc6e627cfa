import * as os from 'node:os';
import { expect, test, vi } from 'vitest';
import { costSince, cpuSecondsSince, leastSeconds } from '../../../workbook/notebook/timing.js';

test('the cost of a piece of work, in whole seconds', () => {
  const cores = os.availableParallelism();
  expect(costSince(performance.now() - 2600)).toEqual({ seconds: 3, cores });
});

test('processor time grows with work', () => {
  const start = process.cpuUsage();
  const end = performance.now() + 50;
  while (performance.now() < end);
  expect(cpuSecondsSince(start)).toBeGreaterThan(0.01);
});

test('the least time leaves the first round out', async () => {
  // The beginning of the first round, then beginning and end of three, in milliseconds.
  const clock = [0, 100, 160, 200, 220, 300, 340];
  const now = vi.spyOn(performance, 'now').mockImplementation(() => clock.shift() as number);
  let rounds = 0;
  const seconds = await leastSeconds(async () => {
    rounds++;
  }, 3);
  now.mockRestore();
  expect(rounds).toBe(4);
  expect(seconds).toBe(0.02);
});
