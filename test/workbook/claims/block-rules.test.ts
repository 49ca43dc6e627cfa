import { expect, test } from 'vitest';
import {
  blocksDiffer,
  crmTells,
  fewIterations,
  igmIsQuicker,
  igmOverflowsLess,
  superlinear,
} from '../../../workbook/claims/block-rules.js';
import type { BlockStudyRow } from '../../../workbook/records/record.js';

/** Blocks of a flow of 101 tokens, of which the last is inverted first and takes the most iterations. */
function flow(model: string, change: (block: number) => Partial<BlockStudyRow> = () => ({})) {
  return [8, 10, 9, 40].map((iterations, block): BlockStudyRow => {
    const outcome = { mean: iterations, error: 0.5, most: iterations + 2, notFinite: 0 };
    return {
      ...{ model, noise: 'uniform', tokens: 101, blocks: 4, block, first: block === 3 },
      ...{ latent: outcome, zeros: outcome, leftOut: 0, zerosLessLatent: { mean: 3, error: 0.5 } },
      ...{ crm: iterations, crmOfLatents: 25, igm: { latent: 1, zeros: 2, says: 'latent' } },
      factors: { early: 0.9, late: 0.5, iterations: 30 },
      ...change(block),
    };
  });
}
const flows = (count: number, ...more: Parameters<typeof flow>[1][]) =>
  Array.from({ length: count }, (_, i) => flow(`flow ${i}`, more[i])).flat();
const notFinite = (count: number) => ({ mean: 8, error: 0.5, most: 10, notFinite: count });

test.each([
  ['few iterations', fewIterations, () => ({ latent: { ...notFinite(0), mean: 60 } })],
  ['superlinear', superlinear, () => ({ factors: { early: 0.5, late: 0.5, iterations: 30 } })],
  ['blocks differ', blocksDiffer, () => ({ latent: notFinite(0) })],
  ['CRM tells which', crmTells, (block: number) => ({ crm: -block })],
  ['IGM is quicker', igmIsQuicker, () => ({ zerosLessLatent: { mean: -3, error: 0.5 } })],
] as const)(
  '%s: in all ten flows, not where two differ, and no where half do',
  (_, rule, change) => {
    expect(rule(flows(10))).toBe(true);
    expect(rule(flows(10, change, change))).not.toBe(true);
    expect(rule(flows(10, change, change, change, change, change))).toBe(false);
  },
);

test('with fewer than ten flows a rule for all of them is open', () => {
  expect(fewIterations(flows(9))).toBeUndefined();
  expect(crmTells([])).toBeUndefined();
});

test('overflow counts in flows of uniform noise alone, and is open where nothing overflows', () => {
  const overflow = (latent: number, zeros: number, noise = 'uniform') =>
    flows(1, () => ({ noise, latent: notFinite(latent), zeros: notFinite(zeros) }));
  expect(igmOverflowsLess(overflow(1, 3))).toBe(true);
  expect(igmOverflowsLess(overflow(3, 1))).toBe(false);
  expect(igmOverflowsLess(overflow(0, 0))).toBeUndefined();
  expect(igmOverflowsLess(overflow(1, 3, 'gaussian'))).toBeUndefined();
});
