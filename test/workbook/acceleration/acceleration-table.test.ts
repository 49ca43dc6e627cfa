import { afterEach, expect, test, vi } from 'vitest';
import {
  imagesForStatistics,
  planText,
  showAcceleration,
} from '../../../workbook/acceleration/acceleration-table.js';
import type { Acceleration } from '../../../workbook/records/record.js';
import { somePlan } from '../../sampling/some-plan.js';

afterEach(() => {
  vi.restoreAllMocks();
});

function row(strategy: string, mean: number, deviation: number): Acceleration['rows'][number] {
  return {
    strategy,
    solvers: [{ kind: 'jacobi' }, { kind: 'sequential' }],
    milliseconds: 5,
    times: [5],
    speedup: 2,
    iterations: [7, 0],
    error: 1e-3,
    statistics: { mean, deviation },
    fallbacks: [0, 1],
    unconverged: [2, 0],
  };
}

function table(batch: number): Acceleration {
  return {
    model: 'a-model',
    tokens: 4,
    blocks: 2,
    batch,
    guidance: null,
    label: null,
    tolerance: 1e-3,
    repeats: 2,
    seed: 0,
    execution: 'an engine, eager, float32',
    crmFrom: 'samples',
    seedNoise: { mean: 0.02, deviation: 0.01 },
    plan: {
      ...somePlan,
      model: 'a-model',
      solvers: [{ kind: 'jacobi', tolerance: 1e-3 }, { kind: 'sequential' }],
    },
    rows: [row('near', 0.01, 0.001), row('far', 0.01, 0.03)],
  };
}

test('the table shows what strategies cost, and statistics where they tell something', () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  for (const batch of [1, imagesForStatistics]) showAcceleration(table(batch), 'ours', 'images');
  const [few, enough] = log.mock.calls.map(([text]) => (text as string).split('\n'));
  expect(few?.[0]).toMatch(
    /^ours, 4 tokens, batch 1, .* CRM and IGM from images; .* statistics from 16 images on$/,
  );
  expect(few?.at(-2)).toMatch(/^far +5 +2 +– 7 +1 +2 +0\.0010 +– +–$/);
  expect(few?.at(-1)).toMatch(/^another seed +– +– +– +– +– +– +– +–$/);
  expect(enough?.[0]).toMatch(/shares of the data range$/);
  expect(enough?.at(-2)).toMatch(/0\.0010 +0\.010 +0\.030$/);
  expect(enough?.at(-1)).toMatch(/0\.020 +0\.010$/);
});

test('a plan is told in the order of sampling', () => {
  expect(planText(table(1).plan)).toBe('sequential; Jacobi, from latent, to 0.001');
});
