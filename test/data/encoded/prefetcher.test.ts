import { expect, test } from 'vitest';
import { Prefetcher } from '../../../src/data/encoded/encoded-source.js';

/** Makes numbers, and counts what is being made and what was made and not yet taken. */
function counted(limits: { held: number; atOnce: number }) {
  const counts = { running: 0, mostRunning: 0, made: 0 };
  const prefetcher = new Prefetcher(async (index) => {
    counts.running++;
    counts.mostRunning = Math.max(counts.mostRunning, counts.running);
    await new Promise(setImmediate);
    counts.running--;
    counts.made++;
    if (index < 0) throw new Error(`no ${index}`);
    return 10 * index;
  }, limits);
  return { prefetcher, counts };
}

/** Until nothing is being made any more. */
async function settled(counts: { running: number; made: number }): Promise<void> {
  for (let made = -1; counts.running > 0 || made !== counts.made; ) {
    made = counts.made;
    for (let i = 0; i < 3; i++) await new Promise(setImmediate);
  }
}

test('each index gives its own thing, whether it was expected or not', async () => {
  const { prefetcher } = counted({ held: 3, atOnce: 2 });
  prefetcher.prefetch([5, 6]);
  expect(await Promise.all([6, 1, 5, 2, 2].map((index) => prefetcher.take(index)))).toEqual([
    60, 10, 50, 20, 20,
  ]);
});

test('of many that are expected, few are made and held', async () => {
  const { prefetcher, counts } = counted({ held: 3, atOnce: 2 });
  const indices = Array.from({ length: 1000 }, (_, i) => i);
  prefetcher.prefetch(indices);
  await settled(counts);
  expect(counts).toEqual({ running: 0, mostRunning: 2, made: 3 });
  // What is held is not made again.
  expect(await Promise.all([0, 1, 2].map((index) => prefetcher.take(index)))).toEqual([0, 10, 20]);
  expect(counts.made).toBe(3);
  // What was taken is no longer held.
  await prefetcher.take(1);
  expect(counts.made).toBe(4);
});

test('what is no longer expected is forgotten', async () => {
  const { prefetcher, counts } = counted({ held: 3, atOnce: 2 });
  prefetcher.prefetch([1, 2, 3]);
  prefetcher.prefetch([3, 4]);
  await settled(counts);
  expect(counts.made).toBe(4);
  await Promise.all([3, 4].map((index) => prefetcher.take(index)));
  expect(counts.made).toBe(4);
  await prefetcher.take(1);
  expect(counts.made).toBe(5);
});

test('however many are asked for at a time, few are being made', async () => {
  const { prefetcher, counts } = counted({ held: 0, atOnce: 4 });
  const taken = Array.from({ length: 50 }, (_, i) => prefetcher.take(i));
  expect(await Promise.all(taken)).toEqual(Array.from({ length: 50 }, (_, i) => 10 * i));
  expect(counts.mostRunning).toBe(4);
});

test('a failure is told to whoever takes it, to nobody else, and holds nothing up', async () => {
  const { prefetcher, counts } = counted({ held: 2, atOnce: 1 });
  prefetcher.prefetch([-1, 2]);
  await settled(counts);
  await expect(prefetcher.take(-1)).rejects.toThrow('no -1');
  expect(await prefetcher.take(2)).toBe(20);
  await expect(prefetcher.take(-3)).rejects.toThrow('no -3');
  expect(await prefetcher.take(4)).toBe(40);
});
