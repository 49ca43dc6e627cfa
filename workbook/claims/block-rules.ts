import { mean, quantile } from '../../src/evaluation/statistics.js';
import type { BlockStudyRow } from '../records/record.js';
import type { Outcome } from './paper-claim.js';

/** The rules of S2, S3 and S4, as `results/rules.md` says them. */

type Rows = readonly BlockStudyRow[];

/** The flows that the rules are about; with fewer all is open. */
const flows = 10;

/**
 * S2: the block inverted first takes at most half of the steps, and the others on average a quarter; in
 * part where that is so in most flows.
 */
export function fewIterations(rows: Rows): Outcome {
  const [all, few] = [byModel(rows).length, flowsOfFewIterations(rows)];
  if (all < flows) return undefined;
  return few === all || (few > all / 2 ? 'in part' : false);
}

/** The flows whose blocks take few iterations. */
export const flowsOfFewIterations = (rows: Rows): number =>
  byModel(rows).filter((blocks) => {
    const steps = blocks[0]!.tokens - 1;
    const of = (first: boolean) =>
      mean(blocks.filter((row) => row.first === first).map(({ latent }) => latent.mean));
    return of(true) <= steps / 2 && of(false) <= steps / 4;
  }).length;

/** S2: in nine of ten blocks of ten iterations or more, an iteration gains a tenth more digits at the end. */
export const superlinear = (rows: Rows): Outcome =>
  byShare(superlinearBlocks(rows), (share) => share >= 0.9);

/** Blocks of ten iterations or more, and those of which an iteration gains a tenth more digits at the end. */
export const superlinearBlocks = (rows: Rows): Counted =>
  counted(
    rows.filter(({ factors }) => factors.iterations >= 10),
    ({ factors: { early, late } }) =>
      early !== null && late !== null && Math.log(late) < 1.1 * Math.log(early),
  );

/** S3: the toughest block of each flow takes at least twice the median of the others. */
export const blocksDiffer = (rows: Rows): Outcome =>
  byModel(rows).length < flows ? undefined : toughness(rows).every((multiple) => multiple >= 2);

/** Of each flow the iterations of the toughest block, as a multiple of the median of the others. */
export const toughness = (rows: Rows): number[] =>
  byModel(rows).map((blocks) => {
    const [most = 0, ...others] = blocks.map(({ latent }) => latent.mean).sort((a, b) => b - a);
    return most / quantile(others, 0.5);
  });

/** S3: CRM names the toughest block, of nine in ten flows or of half. */
export const crmTells = (rows: Rows): Outcome => byShare(namedByCrm(rows), nineInTenOrHalf);

/** Flows, and those whose toughest block CRM names. */
export const namedByCrm = (rows: Rows): Counted =>
  counted(
    byModel(rows),
    (blocks) => most(blocks, ({ crm }) => crm) === most(blocks, ({ latent }) => latent.mean),
  );

/** S4: of blocks whose starts differ, IGM names the quicker one, of nine in ten or of half. */
export const igmIsQuicker = (rows: Rows): Outcome => byShare(namedByIgm(rows), nineInTenOrHalf);

/** Blocks whose starts differ, and those whose quicker one IGM names. */
export const namedByIgm = (rows: Rows): Counted =>
  counted(
    rows.filter(({ zerosLessLatent: { mean: by, error } }) => Math.abs(by) > 2 * error),
    ({ igm, zerosLessLatent }) => (igm.says === 'zeros') === zerosLessLatent.mean < 0,
  );

/** S4: fewer samples overflow from IGM's start than from the other one, in flows of uniform noise. */
export function igmOverflowsLess(rows: Rows): Outcome {
  const { named, other } = overflows(rows);
  return named + other === 0 ? undefined : named < other;
}

/** Samples of flows of uniform noise with an iterate that is not finite, over all blocks. */
export function overflows(rows: Rows): { named: number; other: number } {
  const others = { latent: 'zeros', zeros: 'latent' } as const;
  const sum = (of: (row: BlockStudyRow) => number) =>
    rows.filter(({ noise }) => noise === 'uniform').reduce((total, row) => total + of(row), 0);
  return {
    named: sum((row) => row[row.igm.says].notFinite),
    other: sum((row) => row[others[row.igm.says]].notFinite),
  };
}

function byModel(rows: Rows): BlockStudyRow[][] {
  const models = [...new Set(rows.map(({ model }) => model))];
  return models.map((model) => rows.filter((row) => row.model === model));
}

interface Counted {
  all: number;
  so: number;
}

function counted<T>(items: readonly T[], is: (item: T) => boolean): Counted {
  return { all: items.length, so: items.filter(is).length };
}

function byShare({ all, so }: Counted, rule: (share: number) => Outcome): Outcome {
  return all === 0 ? undefined : rule(so / all);
}

function nineInTenOrHalf(share: number): Outcome {
  if (share >= 0.9) return true;
  return share <= 0.5 ? false : undefined;
}

/** The block with the largest value. */
function most(blocks: Rows, of: (row: BlockStudyRow) => number): number | undefined {
  return [...blocks].sort((one, other) => of(other) - of(one))[0]?.block;
}
