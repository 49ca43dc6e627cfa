import { expect, test } from 'vitest';
import { agree } from './agreement.js';
import { workloads } from './cases.js';
import { goldenCases, goldenDifferences } from './golden-check.js';

const tolerance = 1e-4;

test('golden files say something of every workload', async () => {
  const cases = await goldenCases();
  expect(new Set(cases.map((one) => one.case.workload))).toEqual(new Set(workloads));
  for (const golden of cases) {
    const { case: one, given, expected } = golden;
    expect(Object.values(expected).every(({ data }) => data.length > 0)).toBe(true);
    expect(given.images?.shape[0]).toBe(one.batch);
    expect('labels' in given).toBe(one.config.classes > 0);
    expect(given).toHaveProperty(['blocks.0.proj_in.weight']);
    expect(one.guidance === undefined).toBe(one.workload !== 'guided sampling');
    expect(agree(goldenDifferences(golden, expected, tolerance))).toBe(true);
  }
});

test('a result that is missing or differs is told, in each way that a peer has', async () => {
  const [golden] = (await goldenCases()).filter((one) => one.case.workload === 'sampling');
  if (!golden) throw new Error('No golden file has samples.');
  const images = golden.expected.images as { data: ArrayLike<number> };
  const moved = { data: Array.from(images.data, (value) => 1.01 * value) };
  const agrees = (results: Record<string, { data: ArrayLike<number> }>) =>
    agree(goldenDifferences(golden, results, tolerance));
  expect(agrees({ 'images/a': images, 'images/b': images })).toBe(true);
  expect(agrees({ 'images/a': images, 'images/b': moved })).toBe(false);
  expect(agrees({})).toBe(false);
});
